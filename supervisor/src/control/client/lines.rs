//! Reads the lines of an answer, with limits on their length and on the time until they arrive.

use std::{
    io::{self, Read},
    os::unix::net::UnixStream,
    time::{Duration, Instant},
};

use serde::{Deserialize, de::DeserializeOwned};

use super::ClientError;

/// The longest line of an answer, in bytes.
const LINE_BYTES_MAX: usize = 64 << 20;
/// The size of one read, in bytes.
const PIECE_BYTES: usize = 64 << 10;

/// The lines that a run sends.
#[derive(Debug)]
pub struct Lines {
    stream: UnixStream,
    /// When all lines must have arrived, and how long that was.
    until: Option<(Instant, Duration)>,
    /// What was read and not returned yet.
    bytes: Vec<u8>,
    /// The number of those bytes that hold no end of a line.
    seen: usize,
}

impl Lines {
    /// The lines that arrive within `limit` from now.
    pub(super) fn new(stream: UnixStream, limit: Duration) -> Self {
        Self { stream, until: Some((Instant::now() + limit, limit)), bytes: Vec::new(), seen: 0 }
    }

    /// Lifts the limit of time: the lines of a stream may be any time apart.
    pub(super) fn without_limit(mut self) -> io::Result<Self> {
        self.until = None;
        self.stream.set_read_timeout(None)?;
        Ok(self)
    }

    /// The next line; `None` once the run has hung up.
    ///
    /// # Errors
    /// The line is too long or no text, or it did not arrive in time.
    pub fn next_line(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(end) = self.bytes[self.seen..].iter().position(|byte| *byte == b'\n') {
                let mut line: Vec<u8> = self.bytes.drain(..=self.seen + end).collect();
                self.seen = 0;
                line.pop();
                let text = String::from_utf8(line);
                return text.map(Some).map_err(|_| ClientError::Garbled("no text".into()));
            }
            self.seen = self.bytes.len();
            if self.seen > LINE_BYTES_MAX {
                let reason = format!("a line has more than {LINE_BYTES_MAX} bytes");
                return Err(ClientError::Garbled(reason));
            }
            if self.fill()? == 0 {
                return Ok(None);
            }
        }
    }

    fn fill(&mut self) -> Result<usize, ClientError> {
        if let Some((until, limit)) = self.until {
            let rest = until.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return Err(late(limit));
            }
            self.stream.set_read_timeout(Some(rest))?;
        }
        let start = self.bytes.len();
        self.bytes.resize(start + PIECE_BYTES, 0);
        let read = loop {
            match self.stream.read(&mut self.bytes[start..]) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        self.bytes.truncate(start + read.as_ref().map_or(0, |length| *length));
        match (read, self.until) {
            // The kernel's error for a timeout that has passed.
            (Err(error), Some((_, limit))) if error.kind() == io::ErrorKind::WouldBlock => {
                Err(late(limit))
            }
            (read, _) => Ok(read?),
        }
    }

    /// The answer to a query: the first line.
    pub(super) fn answer<T: DeserializeOwned>(&mut self) -> Result<T, ClientError> {
        let line = self.next_line()?;
        parse(&line.ok_or_else(|| ClientError::Silent("it hung up".into()))?)
    }
}

fn late(limit: Duration) -> ClientError {
    ClientError::Silent(format!("no answer within {}", text::units::show_duration(limit)))
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T, ClientError> {
    #[derive(Deserialize)]
    struct Answer<T> {
        ok: T,
    }
    match serde_json::from_str(line) {
        Ok(refused) => Err(ClientError::Refused(refused)),
        Err(_) => Ok(serde_json::from_str::<Answer<T>>(line)?.ok),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::control::wire::Refused;

    #[test]
    fn an_answer_that_trickles_ends_at_the_time_limit() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let limit = Duration::from_millis(100);
        let drip = std::thread::spawn(move || while theirs.write_all(b" ").is_ok() {});
        let mut lines = Lines::new(ours, limit);
        let error = lines.answer::<()>().unwrap_err().to_string();
        assert_eq!(error, "the run does not answer: no answer within 100 ms");
        drop(lines);
        drip.join().unwrap();
    }

    #[test]
    fn a_line_without_an_end_is_read_up_to_a_bound() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let flood = std::thread::spawn(move || {
            let piece = vec![b'x'; 1 << 20];
            while theirs.write_all(&piece).is_ok() {}
        });
        let mut lines = Lines::new(ours, Duration::from_secs(60));
        assert!(matches!(lines.next_line(), Err(ClientError::Garbled(_))));
        assert!(lines.bytes.len() <= LINE_BYTES_MAX + PIECE_BYTES);
        drop(lines);
        flood.join().unwrap();
    }

    #[test]
    fn lines_are_separated_wherever_reads_end() {
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let mut lines = Lines::new(ours, Duration::from_secs(60));
        theirs.write_all(b"one\n\ntwo").unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap(), "one");
        assert_eq!(lines.next_line().unwrap().unwrap(), "");
        theirs.write_all(b" three\n").unwrap();
        assert_eq!(lines.next_line().unwrap().unwrap(), "two three");
        drop(theirs);
        assert!(lines.next_line().unwrap().is_none());
    }

    #[test]
    fn what_a_run_says_is_made_visible() {
        let refused = Refused { error: "no".into(), message: "not\x1b[2J today\nor ever".into() };
        assert_eq!(ClientError::Refused(refused).to_string(), "not^[[2J today^Jor ever");
    }

    #[test]
    fn an_answer_is_read_and_an_unknown_code_is_still_a_refusal() {
        assert!(matches!(parse::<()>(r#"{"ok":null}"#), Ok(())));
        assert!(matches!(parse::<u32>(r#"{"ok":7}"#), Ok(7)));
        assert!(matches!(parse::<u32>(r#"{"ok":"x"}"#), Err(ClientError::Garbled(_))));
        let refused = r#"{"error":"of_tomorrow","why":7,"message":"not today"}"#;
        match parse::<u32>(refused) {
            Err(error @ ClientError::Refused(_)) => assert_eq!(error.to_string(), "not today"),
            other => panic!("{other:?}"),
        }
    }
}
