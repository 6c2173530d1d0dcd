//! Which runs are there, and what do they say? The side of whoever asks: it waits, but not for ever.

use std::{
    fs,
    io::{self, BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::Path,
    time::Duration,
};

use records::{Millis, RunInfo};
use serde::de::DeserializeOwned;

use super::{
    place::{self, Files},
    wire::{Answer, Ask, Request, SCHEMA},
};

/// A supervisor that says nothing for so long is stopped, or in trouble.
const PATIENCE: Duration = Duration::from_secs(5);

/// A run that was found.
#[derive(Debug)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// What it is; `None` where that cannot be read.
    pub about: Option<RunInfo>,
    /// The way to it; `None` where its supervisor is gone.
    pub stream: Option<UnixStream>,
}

/// Why a run did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is none.
    #[error("no run is live: start one with supervisor run or supervisor each")]
    NoRun,
    /// Not this one.
    #[error("there is no run `{wanted}`: {}", list(live))]
    NoSuchRun {
        /// What was asked for.
        wanted: String,
        /// Those that there are.
        live: Vec<String>,
    },
    /// More than one.
    #[error("several runs are live: say which with --run: {}", live.join(", "))]
    Several {
        /// Which.
        live: Vec<String>,
    },
    /// It says no.
    #[error("{0}")]
    Refused(String),
    /// It does not answer, or not as it should.
    #[error("the run does not answer: {0}")]
    Silent(String),
    /// What it says is not understood.
    #[error("the run is of another version, or not a run at all: {0}")]
    Garbled(#[from] serde_json::Error),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

fn list(live: &[String]) -> String {
    if live.is_empty() { "none is live".into() } else { format!("there are {}", live.join(", ")) }
}

/// All runs, oldest first, with those whose supervisor is gone and that nobody has forgotten yet.
#[must_use]
pub fn runs() -> Vec<Found> {
    let directory = place::directory();
    let Ok(entries) = fs::read_dir(&directory) else { return Vec::new() };
    let name =
        |entry: fs::DirEntry| entry.file_name().to_str()?.strip_suffix(".sock").map(str::to_owned);
    let names = entries.flatten().filter_map(name);
    let mut found: Vec<_> = names.filter_map(|id| look(&directory, id)).collect();
    found.sort_by_key(|run| {
        run.about.as_ref().map_or(Millis::default(), |about| about.began_unix_ms)
    });
    found
}

/// `None` for one that begins or ends at this moment: the one is not told of yet, the other is told
/// of no more.
fn look(directory: &Path, id: String) -> Option<Found> {
    let files = Files::of(directory, &id);
    // In this order: who is told of listens already.
    let about = files.about();
    let stream = UnixStream::connect(&files.socket);
    files.leave();
    let is_there = match &stream {
        Ok(_) => true,
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => about.is_some(),
        Err(error) => error.kind() != io::ErrorKind::NotFound,
    };
    is_there.then(|| Found { id, about, stream: stream.ok() })
}

/// The run of this id or name; without, the only one that lives.
///
/// # Errors
/// There is none, or more than one.
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

impl Found {
    fn name(&self) -> Option<&str> {
        self.about.as_ref()?.name.as_deref()
    }

    /// `k3f9`, or `k3f9 (nightly)`.
    #[must_use]
    pub fn label(&self) -> String {
        match self.name() {
            Some(name) => format!("{} ({name})", self.id),
            None => self.id.clone(),
        }
    }

    /// Nobody is told of it any more.
    pub fn forget(&self) {
        drop(Files::of(&place::directory(), &self.id));
    }

    /// Asks something that has one answer.
    ///
    /// # Errors
    /// It says no, or nothing.
    pub fn ask<T: DeserializeOwned>(self, ask: Ask) -> Result<T, ClientError> {
        let mut lines = self.lines(ask)?;
        read(&mut lines)
    }

    /// Asks for a stream; its lines.
    ///
    /// # Errors
    /// It says no, or nothing.
    pub fn listen(self, ask: Ask) -> Result<impl BufRead, ClientError> {
        let mut lines = self.lines(ask)?;
        let () = read(&mut lines)?;
        // The next line comes when it comes.
        lines.get_ref().set_read_timeout(None)?;
        Ok(lines)
    }

    fn lines(self, ask: Ask) -> Result<BufReader<UnixStream>, ClientError> {
        let mut stream = self.stream.ok_or(ClientError::NoRun)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let mut line = serde_json::to_vec(&Request { schema: SCHEMA, ask })?;
        line.push(b'\n');
        match stream.write_all(&line) {
            // Whoever is turned away at the door is told why before he has asked.
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
        // That is what the kernel calls a time that is over.
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            let said = format!("it has said nothing for {} s", PATIENCE.as_secs());
            return Err(ClientError::Silent(said));
        }
        read => read?,
    };
    match serde_json::from_str(&line)? {
        Answer::Ok(answer) => Ok(answer),
        Answer::Error(why) => Err(ClientError::Refused(why)),
    }
}
