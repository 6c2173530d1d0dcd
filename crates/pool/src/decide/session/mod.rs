//! The jobs of one worker, from its hello to its end: what it is sent, what it answers, which job
//! it runs, and how far it can be trusted.

mod death;
mod head;
mod in_flight;
mod limits;
mod recent;
mod replies;
mod retract;
pub(super) mod retraction;
mod send;

use std::time::Duration;

use self::{in_flight::InFlight, recent::Recent, retraction::Retraction};
use super::{
    input::{Abilities, Tick},
    ledger::JobKey,
    prefetch::AdaptivePrefetch,
};
use crate::{
    event::WorkerId,
    exit::Pipe,
    job::{Attempt, AttemptEnd},
    rules::JobRules,
};

/// A worker that dies closes its pipes a moment before it is gone. One that is still there after
/// this long has closed them and lives on.
const GONE_AFTER: Duration = Duration::from_secs(1);

/// The jobs of one worker.
#[derive(Debug)]
pub(super) struct Session {
    worker: WorkerId,
    /// The worker's process; 0 before its program is executed.
    pid: i32,
    abilities: Abilities,
    in_flight: InFlight,
    pub(super) retraction: Retraction,
    pub(super) link: Link,
    prefetch: AdaptivePrefetch,
    replies: Replies,
    /// When the worker was last sent something or heard of.
    last_heard: Tick,
    /// How many bytes the worker was seen to hold, where that was over its limit.
    overweight: Option<u64>,
}

/// How far what the worker says counts.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Link {
    #[default]
    Open,
    /// It has closed this pipe, and is to be gone by then.
    Closed { pipe: Pipe, gone_by: Tick },
    /// It broke the protocol: nothing that it says since then counts.
    Broken,
}

/// The replies of one worker.
#[derive(Debug, Default)]
struct Replies {
    count: u64,
    /// How many of them do not count for recycling, since the worker was not replaced after them.
    uncounted: u64,
    recent: Recent,
}

impl Session {
    pub(super) fn new(worker: WorkerId) -> Self {
        Self {
            worker,
            pid: 0,
            abilities: Abilities::default(),
            in_flight: InFlight::default(),
            retraction: Retraction::default(),
            link: Link::default(),
            prefetch: AdaptivePrefetch::default(),
            replies: Replies::default(),
            last_heard: Tick::ZERO,
            overweight: None,
        }
    }

    /// The worker's program is executed in this process.
    pub(super) fn set_pid(&mut self, pid: i32) {
        self.pid = pid;
    }

    /// The worker said hello.
    pub(super) fn introduce(&mut self, abilities: Abilities) {
        self.abilities = abilities;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// The number of jobs in flight.
    pub(super) fn len(&self) -> usize {
        self.in_flight.len()
    }

    /// The job that the worker runs, or is about to run, and since when.
    pub(super) fn running(&self) -> Option<(JobKey, Tick)> {
        Some((self.in_flight.first()?, self.in_flight.head.since))
    }

    /// Whether the worker lives, as far as the pool knows.
    pub(super) fn is_reliable(&self) -> bool {
        !self.is_asleep() && self.link == Link::Open
    }

    /// Whether the worker has never had a job.
    pub(super) fn is_fresh(&self) -> bool {
        self.in_flight.sent() == 0
    }

    /// Whether the worker has answered a job.
    pub(super) fn has_answered(&self) -> bool {
        self.replies.count > 0
    }

    /// Whether the worker must not be relied on: it had jobs, was silent, had not started any of
    /// them, and was not heard of since.
    pub(super) fn is_asleep(&self) -> bool {
        self.retraction.asleep().is_some()
    }

    /// Whether it has been asleep for longer than a scheduler keeps a process waiting.
    pub(super) fn sleeps_fast(&self, now: Tick) -> bool {
        self.retraction.sleeps_fast(now)
    }

    /// Whether the worker has done as many jobs as it may.
    pub(super) fn is_spent(&self, rules: &JobRules) -> bool {
        rules.recycle.jobs.is_some_and(|max| self.jobs_left(max) == 0)
    }

    /// How many more jobs the worker may do, those in flight included, where it may do `max`.
    fn jobs_left(&self, max: u64) -> u64 {
        (self.replies.uncounted + max).saturating_sub(self.replies.count)
    }

    /// The worker's replacement did not come up: it may do as many jobs again.
    pub(super) fn renew(&mut self) {
        self.replies.uncounted = self.replies.count;
    }

    /// The worker prints. It gets one job at a time for a while: only then is it certain which job
    /// a line of output belongs to.
    pub(super) fn keep_apart(&mut self) {
        self.prefetch.keep_apart();
    }

    /// The worker has closed a pipe, or is about to end.
    pub(super) fn close(&mut self, pipe: Pipe, now: Tick) {
        if self.link == Link::Open {
            self.link = Link::Closed { pipe, gone_by: now + GONE_AFTER };
        }
    }

    /// The worker broke the protocol.
    pub(super) fn break_off(&mut self) {
        self.link = Link::Broken;
    }

    /// The worker was seen to hold this many bytes, which is over its limit.
    pub(super) fn note_overweight(&mut self, bytes: u64) {
        self.overweight = self.overweight.max(Some(bytes));
    }

    /// How many bytes the worker or its command was seen to hold, where that was over the limit.
    pub(super) fn overweight(&self) -> Option<u64> {
        self.overweight.max(self.in_flight.head.overweight)
    }

    /// An attempt of this worker that took this long and ends now.
    fn attempt(&self, number: u32, took: Duration, now: Tick, end: AttemptEnd) -> Attempt {
        let (worker, pid, began) = (self.worker, self.pid, now.saturating_sub(took));
        Attempt { number, worker, pid, began, took, peak_bytes: None, hang: None, end }
    }

    /// For the simulation: whether its bytes and numbers add up.
    #[cfg(test)]
    pub(super) fn makes_sense(&self, ledger: &super::ledger::Ledger) -> bool {
        self.in_flight.makes_sense(self.keys().map(|key| ledger.bytes(key)).sum())
    }

    /// For the simulation: the jobs in flight.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = JobKey> {
        self.in_flight.keys()
    }

    /// For the simulation: a job that was not sent is counted as if it had been.
    #[cfg(test)]
    pub(super) fn miscount(&mut self) {
        self.in_flight.miscount();
    }
}
