//! A command that ran for a job, how it ended and what it wrote.

use std::{borrow::Cow, fmt, io, ops::Range, sync::Arc};

use crate::{
    exit::{Cause, Evidence, StopRequest},
    payload::Payload,
};

/// The most bytes of a stream that one record holds; of a longer stream it holds the beginning and
/// the end. Programs that read records seldom take longer texts.
pub const RECORD_BYTES_MAX: usize = 256 << 20;

/// A command that a launcher ran, or failed to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Its process; 0 if there was none.
    pub pid: i32,
    /// Why it ended: the launcher's view, until the pool replaces it by its own judgement.
    pub cause: Cause,
    /// How it ended; `None` if it never ran.
    pub evidence: Option<Evidence>,
    /// How the launcher tried to stop it, if it did.
    pub asked: Option<StopRequest>,
    /// What it wrote to stdout and stderr.
    pub output: Captured,
    /// Whether an orphan of the command kept its output open.
    pub leaked: bool,
}

impl Ran {
    /// Whether it succeeded: it ended by itself, with code 0.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.cause == Cause::Exit
            && self.evidence.as_ref().is_some_and(|evidence| evidence.status.is_success())
    }
}

/// Output that was too long to stay in memory.
pub trait Stored: fmt::Debug + Send + Sync {
    /// The number of bytes.
    fn bytes(&self) -> u64;

    /// Fills `buffer` with the bytes from the position `at` on.
    ///
    /// # Errors
    /// The bytes cannot be read.
    fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()>;
}

/// The output of a command: its end as the launcher's reply holds it, and what precedes that in a
/// store.
#[derive(Clone, Debug)]
pub struct Captured {
    reply: Payload,
    streams: [Range<usize>; 2],
    /// The beginning of each stream, where memory does not hold all of it.
    stored: [Option<Arc<dyn Stored>>; 2],
    /// The bytes of each stream that were left out.
    gaps: [Gap; 2],
}

/// Bytes of a stream that were left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// The number of bytes before the gap.
    pub at: u64,
    /// The number of bytes that are missing.
    pub bytes: u64,
}

impl Captured {
    /// The output that lies in these ranges of a reply. A range is cut off at the end of the reply.
    #[must_use]
    pub fn new(reply: Payload, streams: [Range<usize>; 2], gaps: [Gap; 2]) -> Self {
        let end = reply.len();
        let streams = streams.map(|range| range.start.min(end)..range.end.min(end));
        Self { reply, streams, stored: [None, None], gaps }
    }

    /// The output of a command that wrote nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Payload::copy(&[]), [0..0, 0..0], [Gap::default(); 2])
    }

    /// Puts what was stored of a stream (0 for stdout, 1 for stderr) in front of it, with what is
    /// missing because it could not be stored.
    pub fn precede(&mut self, index: usize, stored: Arc<dyn Stored>, lost: Gap) {
        self.stored[index] = Some(stored);
        if lost.bytes > 0 {
            self.gaps[index] = Gap { at: lost.at, bytes: lost.bytes + self.gaps[index].bytes };
        }
    }

    /// The end of stdout: all of it, unless a part [is stored](Self::is_stored).
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        self.stream(0)
    }

    /// The end of stderr: all of it, unless a part [is stored](Self::is_stored).
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        self.stream(1)
    }

    /// Whether a part of the output is not in memory.
    #[must_use]
    pub fn is_stored(&self) -> bool {
        self.stored.iter().any(Option::is_some)
    }

    /// The number of bytes of each stream, without those that were left out.
    #[must_use]
    pub fn bytes(&self) -> [u64; 2] {
        [0, 1].map(|index| self.stored_bytes(index) + self.stream(index).len() as u64)
    }

    /// What is missing of stdout and of stderr.
    #[must_use]
    pub fn gaps(&self) -> [Gap; 2] {
        self.gaps
    }

    /// Appends bytes of a stream, from the position `at` on.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn read(&self, index: usize, at: u64, bytes: usize, out: &mut Vec<u8>) -> io::Result<()> {
        let left = usize::try_from(self.stored_bytes(index).saturating_sub(at));
        let from_store = left.unwrap_or(usize::MAX).min(bytes);
        if let Some(stored) = self.stored[index].as_ref().filter(|_| from_store > 0) {
            let start = out.len();
            out.resize(start + from_store, 0);
            stored.read(at, &mut out[start..])?;
        }
        let at = usize::try_from(at.saturating_sub(self.stored_bytes(index)));
        let rest = self.stream(index).get(at.unwrap_or(usize::MAX)..).unwrap_or_default();
        out.extend_from_slice(&rest[..rest.len().min(bytes - from_store)]);
        Ok(())
    }

    /// The same output in memory. Of a stream with more than `bytes_max` bytes, the beginning and
    /// the end are kept; what cannot be read is left out.
    #[must_use]
    pub fn in_memory(&self, bytes_max: usize) -> Cow<'_, Self> {
        if !self.is_stored() {
            return Cow::Borrowed(self);
        }
        let (mut reply, mut streams, mut gaps) = (Vec::new(), [0..0, 0..0], self.gaps);
        for index in [0, 1] {
            let start = reply.len();
            let (head, tail) = self.kept(index, bytes_max as u64);
            let read = [&head, &tail].into_iter().try_for_each(|range| {
                let bytes = usize::try_from(range.end - range.start).map_err(io::Error::other)?;
                self.read(index, range.start, bytes, &mut reply)
            });
            if read.is_err() {
                reply.truncate(start);
                reply.extend_from_slice(self.stream(index));
                gaps[index] = Gap { at: 0, bytes: gaps[index].bytes + self.stored_bytes(index) };
            } else if head.end < tail.start {
                gaps[index] =
                    Gap { at: head.end, bytes: gaps[index].bytes + (tail.start - head.end) };
            }
            streams[index] = start..reply.len();
        }
        Cow::Owned(Self::new(Payload::take(reply, 0), streams, gaps))
    }

    /// The ranges of a stream that at most `bytes_max` bytes of it consist of. A gap lies between
    /// them, so that there is one at most.
    fn kept(&self, index: usize, bytes_max: u64) -> (Range<u64>, Range<u64>) {
        let (all, gap) = (self.bytes()[index], self.gaps[index]);
        if all <= bytes_max {
            return (0..all, all..all);
        }
        let (head, tail) = (bytes_max / 2, bytes_max - bytes_max / 2);
        if gap.bytes == 0 {
            return (0..head, all - tail..all);
        }
        (0..head.min(gap.at), (all - tail).max(gap.at)..all)
    }

    fn stored_bytes(&self, index: usize) -> u64 {
        self.stored[index].as_ref().map_or(0, |stored| stored.bytes())
    }

    fn stream(&self, index: usize) -> &[u8] {
        let range = self.streams[index].clone();
        self.reply.as_bytes().get(range).unwrap_or_default()
    }
}

/// Stored output equals only itself.
impl PartialEq for Captured {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |pair| match pair {
            (None, None) => true,
            (Some(one), Some(two)) => Arc::ptr_eq(one, two),
            _ => false,
        };
        [0, 1].map(|index| self.stream(index)) == [0, 1].map(|index| other.stream(index))
            && self
                .stored
                .iter()
                .map(Option::as_ref)
                .zip(other.stored.iter().map(Option::as_ref))
                .all(is_same)
            && self.gaps == other.gaps
    }
}

impl Eq for Captured {}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Bytes(&'static [u8]);

    impl Stored for Bytes {
        fn bytes(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&self, at: u64, buffer: &mut [u8]) -> io::Result<()> {
            let at = usize::try_from(at).map_err(io::Error::other)?;
            let bytes = self.0.get(at..at + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
            buffer.copy_from_slice(bytes);
            Ok(())
        }
    }

    fn captured(gap: Gap) -> Captured {
        let mut captured = Captured::new(Payload::copy(b"6789err"), [0..4, 4..7], [gap; 2]);
        captured.precede(0, Arc::new(Bytes(b"012345")), Gap::default());
        captured
    }

    #[test]
    fn stored_output_and_the_end_in_memory_are_one_stream() {
        let captured = captured(Gap::default());
        assert_eq!((captured.bytes(), captured.stdout()), ([10, 3], &b"6789"[..]));
        for at in 0..=10 {
            for bytes in 0..=10 - at {
                let mut out = Vec::new();
                captured.read(0, at as u64, bytes, &mut out).unwrap();
                assert_eq!(out, &b"0123456789"[at..at + bytes]);
            }
        }
        let whole = captured.in_memory(10);
        assert_eq!((whole.stdout(), whole.stderr()), (&b"0123456789"[..], &b"err"[..]));
    }

    #[test]
    fn a_stream_that_is_too_long_for_memory_says_what_is_missing() {
        let cut = |gap, bytes_max| {
            let cut = captured(gap).in_memory(bytes_max).into_owned();
            let text = String::from_utf8(cut.stdout().to_vec()).unwrap();
            (text, cut.gaps()[0].at, cut.gaps()[0].bytes)
        };
        assert_eq!(cut(Gap::default(), 4), ("0189".into(), 2, 6));
        assert_eq!(cut(Gap { at: 1, bytes: 5 }, 4), ("089".into(), 1, 12));
        assert_eq!(cut(Gap { at: 9, bytes: 5 }, 4), ("019".into(), 2, 12));
        assert_eq!(cut(Gap { at: 9, bytes: 5 }, 10), ("0123456789".into(), 9, 5));
    }
}
