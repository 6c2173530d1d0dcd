//! Tests that a journal reads back what was written, whatever happens to the file.

mod damage;
mod fuzzed;
mod resuming;
mod roundtrip;
mod writing;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use super::{
    Ending, Header, OnLost, Opened, Record, Recorded, Settled, Store, Sync, identity::Digest,
};
use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, Payload},
};

/// A directory for one test.
pub(super) struct Place(PathBuf);

impl Place {
    pub(super) fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("supervisor-journal-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    pub(super) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.0.join(name)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Opens a journal and begins a run.
pub(super) fn begin(path: &Path) -> (Store, Recorded) {
    begin_with(path, OnLost::Rerun)
}

pub(super) fn begin_with(path: &Path, on_lost: OnLost) -> (Store, Recorded) {
    let opened = Opened::new(path, Sync::Batch).unwrap();
    opened.begin(Header::default(), Duration::from_micros(1_000_000_007), on_lost).unwrap()
}

pub(super) const ENDING: Ending = Ending { at: Duration::from_secs(1001), status: 0 };

pub(super) fn job(job: u64, payload: &[u8]) -> Record {
    let (digest, payload) = (Digest::of(payload), Payload::copy(payload));
    Record::Job { job, digest, position: job, payload }
}

pub(super) fn attempt(number: u32, end: AttemptEnd) -> Attempt {
    Attempt {
        number,
        worker: WorkerId { slot: 2, generation: 7 },
        pid: 4123,
        began: Duration::from_nanos(12_345_678),
        took: Duration::from_nanos(290),
        peak_bytes: None,
        hang: None,
        end,
    }
}

pub(super) fn started(job: u64, number: u32) -> Record {
    let Attempt { worker, pid, began, .. } = attempt(number, AttemptEnd::Ok);
    Record::Started { job, number, worker, pid, began }
}

pub(super) fn done(job: u64, reply: &[u8]) -> Record {
    let settles = Some(Settled::Ok(Payload::copy(reply)));
    Record::Ended { job, attempt: attempt(1, AttemptEnd::Ok), settles }
}
