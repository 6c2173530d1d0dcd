//! The client side of the control protocol: finds live runs and talks to one of them, with a limit
//! on how long it waits for an answer.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use records::{Millis, RunInfo};
use serde::{Deserialize, de::DeserializeOwned};

use super::{
    directory::{self, Files},
    wire::{Query, Refused, Request, SCHEMA},
};

/// A supervisor that answers nothing for this long is stopped or stuck.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A run in the directory of runs.
#[derive(Debug)]
pub struct Found {
    /// The id of the run.
    pub id: String,
    /// The facts about it; `None` where they cannot be read.
    pub info: Option<RunInfo>,
    /// A connection to it; `None` where its supervisor is dead.
    pub stream: Option<UnixStream>,
}

/// Why a run did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No run is live.
    #[error("no run is live: start one with supervisor run or supervisor each")]
    NoRun,
    /// No live run has this id or name.
    #[error("there is no run `{wanted}`: {}", list(live))]
    NoSuchRun {
        /// The id or name that the user gave.
        wanted: String,
        /// The labels of the live runs.
        live: Vec<String>,
    },
    /// Several runs are live and the user named none.
    #[error("several runs are live: say which with --run: {}", live.join(", "))]
    Several {
        /// The labels of the live runs.
        live: Vec<String>,
    },
    /// The run refused.
    #[error("{}", .0.message)]
    Refused(Refused),
    /// The connection broke, or no answer came in time.
    #[error("the run does not answer: {0}")]
    Silent(String),
    /// The answer does not follow the protocol.
    #[error("the run is of another version, or not a run at all: {0}")]
    Garbled(serde_json::Error),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

fn list(live: &[String]) -> String {
    if live.is_empty() { "none is live".into() } else { format!("there are {}", live.join(", ")) }
}

/// All runs, oldest first, including those whose supervisor died and that no client has
/// [forgotten](Found::forget) yet.
#[must_use]
pub fn runs() -> Vec<Found> {
    let directory = directory::path();
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let name =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".sock").map(str::to_owned);
    let names = entries.flatten().filter_map(name);
    let mut found: Vec<_> = names.filter_map(|id| inspect(&directory, id)).collect();
    found.sort_by_key(|run| run.info.as_ref().map_or(Millis::default(), |info| info.began_unix_ms));
    found
}

/// `None` for a run that begins or ends at this moment: the one has not written its info yet, the
/// other has removed it already.
fn inspect(directory: &Path, id: String) -> Option<Found> {
    let files = Files::of(directory, &id);
    // In this order: a run that has written its info listens already.
    let info = files.info();
    let stream = UnixStream::connect(&files.socket);
    files.keep();
    let exists = match &stream {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => info.is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    exists.then(|| Found { id, info, stream: stream.ok() })
}

/// The live run with this id or name; without one, the only live run.
///
/// # Errors
/// No run fits, or several are live.
pub fn run(wanted: Option<&str>) -> Result<Found, ClientError> {
    let mut live: Vec<Found> = runs().into_iter().filter(|run| run.stream.is_some()).collect();
    let names: Vec<String> = live.iter().map(Found::label).collect();
    if let Some(wanted) = wanted {
        let at = live.iter().position(|run| run.id == wanted || run.name() == Some(wanted));
        let at = at.ok_or_else(|| ClientError::NoSuchRun { wanted: wanted.into(), live: names })?;
        return Ok(live.swap_remove(at));
    }
    match live.len() {
        1 => Ok(live.swap_remove(0)),
        0 => Err(ClientError::NoRun),
        _ => Err(ClientError::Several { live: names }),
    }
}

// The message repeats the reason, so the reason is no source as well.
impl From<serde_json::Error> for ClientError {
    fn from(error: serde_json::Error) -> Self {
        Self::Garbled(error)
    }
}

impl Found {
    fn name(&self) -> Option<&str> {
        self.info.as_ref()?.name.as_deref()
    }

    /// `k3f9`, or `k3f9 (nightly)` for a run with a name.
    #[must_use]
    pub fn label(&self) -> String {
        match self.name() {
            Some(name) => format!("{} ({name})", self.id),
            None => self.id.clone(),
        }
    }

    /// Removes the files of a run whose supervisor died, so that no client lists it again.
    pub fn forget(&self) {
        drop(Files::of(&directory::path(), &self.id));
    }

    /// Sends a query that has one answer.
    ///
    /// # Errors
    /// The run refuses, or does not answer.
    pub fn ask<T: DeserializeOwned>(self, query: Query) -> Result<T, ClientError> {
        let mut lines = self.send(query)?;
        read(&mut lines)
    }

    /// Sends a query that is answered by a stream, and returns the stream's lines.
    ///
    /// # Errors
    /// The run refuses, or does not answer.
    pub fn listen(self, query: Query) -> Result<impl BufRead, ClientError> {
        let mut lines = self.send(query)?;
        let () = read(&mut lines)?;
        // The lines of a stream may be any time apart.
        lines.get_ref().set_read_timeout(None)?;
        Ok(lines)
    }

    fn send(self, query: Query) -> Result<BufReader<UnixStream>, ClientError> {
        let mut stream = self.stream.ok_or(ClientError::NoRun)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT))?;
        let mut line = serde_json::to_vec(&Request { schema: SCHEMA, query })?;
        line.push(b'\n');
        match stream.write_all(&line) {
            // The run may refuse a client, with a reason, before it reads the request.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        Ok(BufReader::new(stream))
    }
}

fn read<T: DeserializeOwned>(lines: &mut impl BufRead) -> Result<T, ClientError> {
    let mut line = String::new();
    match lines.read_line(&mut line) {
        Ok(0) => return Err(ClientError::Silent("it hung up".into())),
        // The kernel's error for a timeout that has passed.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let reason = format!("it has said nothing for {} s", ANSWER_TIMEOUT.as_secs());
            return Err(ClientError::Silent(reason));
        }
        read => read?,
    };
    parse(&line)
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
    use super::*;

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
