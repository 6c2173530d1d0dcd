//! Records for journals that tests write themselves.

use std::time::Duration;

use journal::{Ending, Record, Settled, identity::Digest};
use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, Payload},
};

pub(crate) const ENDING: Ending = Ending { at: Duration::from_secs(1_800_000_060), status: 1 };

pub(crate) fn attempt(number: u32, end: AttemptEnd) -> Attempt {
    Attempt {
        number,
        worker: WorkerId { slot: 2, generation: 7 },
        pid: 4123,
        began: Duration::from_micros(12_300),
        took: Duration::from_micros(1300),
        peak_bytes: None,
        hang: None,
        end,
    }
}

pub(crate) fn job(job: u64, payload: &[u8]) -> Record {
    let (digest, payload) = (Digest::of(payload), Payload::copy(payload));
    Record::Job { job, digest, position: job, payload }
}

pub(crate) fn started(job: u64) -> Record {
    let Attempt { number, worker, pid, began, .. } = attempt(1, AttemptEnd::Ok);
    Record::Started { job, number, worker, pid, began }
}

pub(crate) fn ended(job: u64, number: u32, end: AttemptEnd, settles: Option<Settled>) -> Record {
    Record::Ended { job, attempt: attempt(number, end), settles }
}

pub(crate) fn done(job: u64) -> Record {
    ended(job, 1, AttemptEnd::Ok, Some(Settled::Ok(Payload::copy(b"a reply"))))
}
