//! The client side of the control protocol: finds live runs and talks to one of them, with limits
//! on how long it waits for an answer and on how much it reads.
//!
//! A client trusts only what its own user could have made: the directory and the process that
//! listens belong to that user. Text of the answer is made visible before it is shown all the same.

mod error;
mod lines;

use std::{
    cmp::Reverse,
    io::{self, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::net::UnixStream,
    },
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use files::{Directory, socket};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};
use process::{proc::Stat, wait::pidfd};
use records::{Millis, RunInfo};
use serde::de::DeserializeOwned;
use text::escape::visible;

pub use self::{
    error::{ClientError, Unusable},
    lines::Lines,
};
use super::{
    directory::{self, Entry},
    wire::{Query, Request, SCHEMA},
};

/// A supervisor that has not answered after this long is stopped or stuck.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A run in the directory of runs.
#[derive(Debug)]
pub struct Found {
    /// The facts about it; `None` where they cannot be read.
    pub info: Option<RunInfo>,
    reach: Reach,
    entry: Entry,
}

/// Whether a run can be asked.
#[derive(Debug)]
enum Reach {
    /// A connection to it.
    Live(UnixStream),
    /// Its supervisor did not take the connection in time.
    Silent,
    /// Its supervisor is dead.
    Gone,
}

/// The end of a run.
#[derive(Debug)]
pub struct RunEnd(Vec<OwnedFd>);

impl RunEnd {
    /// Waits until the run has ended, with all its processes.
    ///
    /// # Errors
    /// The system refused to wait.
    pub fn wait(self) -> Result<(), ClientError> {
        for process in &self.0 {
            let mut ended = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
            while let Err(error) = poll(&mut ended, PollTimeout::NONE) {
                if error != Errno::EINTR {
                    return Err(io::Error::from(error).into());
                }
            }
        }
        Ok(())
    }
}

/// The runs that were found, and the places where a client could not look.
#[derive(Debug, Default)]
pub struct Listing {
    /// The runs, oldest first, including those whose supervisor died and that no client has
    /// [forgotten](Found::forget) yet.
    pub runs: Vec<Found>,
    /// The places that exist and cannot be used.
    pub unusable: Vec<Unusable>,
}

/// Looks for runs in all places that a run of this user may use.
#[must_use]
pub fn runs() -> Listing {
    let until = Instant::now() + ANSWER_TIMEOUT;
    let mut listing = Listing::default();
    let mut seen = Vec::new();
    for path in directory::places() {
        let entries = match open(&path, &mut seen) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(reason) => {
                listing.unusable.push(Unusable { path, reason });
                continue;
            }
        };
        let mut left = entries.len();
        for entry in entries {
            // One run that does not accept must not use up the time of all.
            let share = share(until, left);
            listing.runs.extend(inspect(entry, share));
            left -= 1;
        }
    }
    let began = |run: &Found| run.info.as_ref().map_or(Millis::default(), |it| it.began_unix_ms);
    listing.runs.sort_by_key(began);
    listing
}

/// The part of the time until then that one of `left` runs may take.
#[must_use]
pub fn share(until: Instant, left: usize) -> Duration {
    let rest = until.saturating_duration_since(Instant::now());
    let parts = u32::try_from(left.max(1)).unwrap_or(u32::MAX);
    (rest / parts).max(Duration::from_millis(10))
}

/// The entries of a place, unless it is one that was seen by another path.
fn open(path: &Path, seen: &mut Vec<(u64, u64)>) -> io::Result<Vec<Entry>> {
    let directory = Arc::new(Directory::open_private(path)?);
    let identity = directory.identity()?;
    if seen.contains(&identity) {
        return Ok(Vec::new());
    }
    seen.push(identity);
    Entry::all(&directory)
}

/// `None` for a run that begins or ends at this moment: the one has not written its info yet, the
/// other has removed it already. Nor is a socket of another user a run.
fn inspect(entry: Entry, limit: Duration) -> Option<Found> {
    // In this order: a run that has written its info listens already.
    let info = entry.info();
    let reach = match entry.directory().connect(entry.socket(), limit) {
        Ok(stream) => {
            let is_of_owner = socket::peer(&stream).ok()?.uid == entry.directory().owner().ok()?;
            is_of_owner.then_some(Reach::Live(stream))?
        }
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            info.is_some().then_some(Reach::Gone)?
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        Err(_) => Reach::Silent,
    };
    Some(Found { info, reach, entry })
}

/// The live run with this id or name; without one, the only live run.
///
/// # Errors
/// No run fits, or several do.
pub fn run(wanted: Option<&str>) -> Result<Found, ClientError> {
    let Listing { runs, mut unusable } = runs();
    let mut live: Vec<Found> = runs.into_iter().filter(|run| !run.is_gone()).collect();
    let names: Vec<String> = live.iter().map(Found::label).collect();
    if let Some(wanted) = wanted {
        // The id, which is unique, comes before names.
        live.sort_by_key(|run| Reverse(run.id() == wanted));
        live.retain(|run| run.id() == wanted || run.name() == Some(wanted));
    }
    match (live.len(), wanted) {
        (1, _) => Ok(live.swap_remove(0)),
        (2.., Some(wanted)) if live[0].id() == wanted => Ok(live.swap_remove(0)),
        (2.., Some(wanted)) => Err(ClientError::Ambiguous {
            wanted: wanted.into(),
            live: live.iter().map(|run| visible(run.id().as_bytes())).collect(),
        }),
        (2.., None) => Err(ClientError::Several { live: names }),
        (0, _) if !unusable.is_empty() => Err(unusable.swap_remove(0).into()),
        (0, Some(wanted)) => Err(ClientError::NoSuchRun { wanted: wanted.into(), live: names }),
        (0, None) => Err(ClientError::NoRun),
    }
}

impl Found {
    /// The id of the run.
    #[must_use]
    pub fn id(&self) -> &str {
        self.entry.id()
    }

    /// Whether its supervisor is dead.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        matches!(self.reach, Reach::Gone)
    }

    fn name(&self) -> Option<&str> {
        self.info.as_ref()?.name.as_deref()
    }

    /// `k3f9`, or `k3f9 (nightly)` for a run with a name.
    #[must_use]
    pub fn label(&self) -> String {
        let id = visible(self.id().as_bytes());
        match self.name() {
            Some(name) => format!("{id} ({})", visible(name.as_bytes())),
            None => id,
        }
    }

    /// Removes the files of a run of this user whose supervisor died, so that no client lists it
    /// again.
    pub fn forget(&self) {
        let user = nix::unistd::geteuid().as_raw();
        if self.is_gone() && self.entry.directory().owner().is_ok_and(|owner| owner == user) {
            self.entry.remove();
        }
    }

    /// The end of the run, to be waited for.
    ///
    /// # Errors
    /// The run does not answer, or its processes cannot be seen from here.
    pub fn end(&self) -> Result<RunEnd, ClientError> {
        let stream = self.entry.directory().connect(self.entry.socket(), ANSWER_TIMEOUT)?;
        // The process that listens outlives its workers; the process that the user started ends
        // last, and is its parent.
        let listening = socket::peer(&stream)?.pid;
        let parent = Stat::read(listening).map(|process| process.parent);
        let processes = [Some(listening), parent].into_iter().flatten();
        let processes: Vec<_> = processes.filter_map(|process| pidfd(process).ok()).collect();
        if processes.is_empty() { Err(ClientError::Unseen) } else { Ok(RunEnd(processes)) }
    }

    /// Sends a query that has one answer.
    ///
    /// # Errors
    /// The run refuses, or does not answer.
    pub fn ask<T: DeserializeOwned>(self, query: Query) -> Result<T, ClientError> {
        self.ask_within(query, ANSWER_TIMEOUT)
    }

    /// Sends a query that has one answer, which must have arrived within `limit`.
    ///
    /// # Errors
    /// The run refuses, or does not answer.
    pub fn ask_within<T: DeserializeOwned>(
        self,
        query: Query,
        limit: Duration,
    ) -> Result<T, ClientError> {
        self.send(query, limit)?.answer()
    }

    /// Sends a query that is answered by a stream, and returns the stream's lines.
    ///
    /// # Errors
    /// The run refuses, or does not answer.
    pub fn listen(self, query: Query) -> Result<Lines, ClientError> {
        let mut lines = self.send(query, ANSWER_TIMEOUT)?;
        let () = lines.answer()?;
        Ok(lines.without_limit()?)
    }

    fn send(self, query: Query, limit: Duration) -> Result<Lines, ClientError> {
        let mut stream = match self.reach {
            Reach::Live(stream) => stream,
            Reach::Silent => return Err(ClientError::Silent("it accepts no connection".into())),
            Reach::Gone => return Err(ClientError::NoRun),
        };
        stream.set_write_timeout(Some(limit))?;
        let mut line = serde_json::to_vec(&Request { schema: SCHEMA, query })?;
        line.push(b'\n');
        match stream.write_all(&line) {
            // The run may refuse a client, with a reason, before it reads the request.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            written => written?,
        }
        Ok(Lines::new(stream, limit))
    }
}
