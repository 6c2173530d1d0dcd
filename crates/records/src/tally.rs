//! The counters of a run's jobs.

use pool::event;
use serde::{Deserialize, Serialize};

/// Number of jobs by what became of them. `accepted` is the sum of `ok`, `failed`, `quarantined`,
/// `interrupted`, `not_run`, `queued` and `in_flight`.
#[derive(Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, Debug)]
pub struct Tally {
    /// Jobs taken from the source so far.
    pub accepted: u64,
    /// Jobs that succeeded.
    pub ok: u64,
    /// Jobs that failed for good, those that are too long for a frame included.
    pub failed: u64,
    /// Jobs that are not tried again because their workers died.
    pub quarantined: u64,
    /// Jobs that were begun, and cut off by the end of the run.
    #[serde(default)]
    pub interrupted: u64,
    /// Jobs that were never begun when the run ended.
    pub not_run: u64,
    /// Jobs that wait to be sent, now or after a delay.
    pub queued: u64,
    /// Jobs sent to a worker and not answered yet.
    pub in_flight: u64,
    /// Attempts that did not succeed and were followed by another.
    pub retried: u64,
}

impl Tally {
    /// The number of jobs that ended and did not succeed.
    #[must_use]
    pub fn not_ok(&self) -> u64 {
        self.failed + self.quarantined
    }
}

impl From<event::Tally> for Tally {
    fn from(jobs: event::Tally) -> Self {
        Self {
            accepted: jobs.accepted,
            ok: jobs.ok,
            failed: jobs.failed,
            quarantined: jobs.crashed,
            interrupted: jobs.interrupted,
            not_run: jobs.not_run,
            queued: jobs.queued,
            in_flight: jobs.in_flight,
            retried: jobs.retried,
        }
    }
}
