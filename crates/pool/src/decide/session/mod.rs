//! The jobs of one worker, from its hello to its end: which jobs it is sent, what it answers, which
//! job it runs, and whether it can be relied on.

mod death;
mod head;
mod in_flight;
mod limits;
mod recent;
mod replies;
mod retract;
pub(super) mod retraction;
pub(super) mod send;

use std::time::Duration;

use self::{in_flight::InFlight, recent::Recent, retraction::Retraction};
use super::{
    context::StepContext,
    health::FailureRow,
    input::{Abilities, Tick},
    ledger::JobKey,
    prefetch::AdaptivePrefetch,
};
use crate::{
    event::WorkerId,
    exit::Pipe,
    job::{Attempt, AttemptEnd},
    rules::{JobRules, RecycleFailures},
};

/// A dying worker closes its pipes a moment before its end is observed. One that still runs this
/// long after it closed a pipe has broken the protocol.
const GONE_AFTER: Duration = Duration::from_secs(1);
/// A limit of the recycling rules is lowered by up to this share, differently for each worker.
const SPREAD_SHARE: u64 = 8;
/// The smallest limit of jobs that is lowered.
const SPREAD_JOBS_MIN: u64 = 100;

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
    /// When the worker was last sent jobs, or last replied.
    last_heard: Tick,
    /// The largest sample of the worker's memory that was over its limit, in bytes.
    overweight: Option<u64>,
}

/// Whether messages of the worker still count.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Link {
    #[default]
    Open,
    /// It has closed this pipe, and must have ended by `gone_by`.
    Closed { pipe: Pipe, gone_by: Tick },
    /// It broke the protocol: its later messages are ignored.
    Broken,
}

/// The replies of one worker.
#[derive(Debug, Default)]
struct Replies {
    count: u64,
    /// The number of jobs answered before a failed replacement, which do not count for recycling.
    uncounted: u64,
    recent: Recent,
    /// The worker's own resident memory when it was first measured, in bytes.
    base_bytes: Option<u64>,
    /// Whether its memory has reached the limit of the recycling rules.
    is_large: bool,
    failures: FailureRow,
    /// Whether the last reply says that memory ran out, under a memory limit.
    says_out_of_memory: bool,
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

    /// Sets the process in which the worker's program is executed.
    pub(super) fn set_pid(&mut self, pid: i32) {
        self.pid = pid;
    }

    /// Notes what the worker supports, according to its hello.
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

    /// The job that the worker runs or will start next, and since when.
    pub(super) fn running(&self) -> Option<(JobKey, Tick)> {
        Some((self.in_flight.first()?, self.in_flight.head.since))
    }

    /// Whether the worker can be expected to do jobs: it is not asleep, and its pipes are open.
    pub(super) fn is_reliable(&self) -> bool {
        !self.is_asleep() && self.link == Link::Open
    }

    /// Whether the worker was never sent a job.
    pub(super) fn is_fresh(&self) -> bool {
        self.in_flight.sent() == 0
    }

    /// Whether the worker has answered a job.
    pub(super) fn has_answered(&self) -> bool {
        self.replies.count > 0
    }

    /// Whether the worker is asleep: it had jobs, was silent, had started none of them when they
    /// were retracted, and has not replied since. A stopped process is asleep, for instance.
    pub(super) fn is_asleep(&self) -> bool {
        self.retraction.asleep().is_some()
    }

    /// Whether the worker has been asleep for longer than a busy machine explains.
    pub(super) fn is_long_asleep(&self, now: Tick) -> bool {
        self.retraction.is_long_asleep(now)
    }

    /// Whether the worker has reached its limit of jobs or memory, and is sent no more jobs.
    pub(super) fn is_spent(&self, rules: &JobRules) -> bool {
        self.replies.is_large || rules.recycle.jobs.is_some_and(|max| self.jobs_left(max) == 0)
    }

    /// How many more jobs the worker may answer, if the limit is `max`. Includes jobs in flight.
    /// The limits of workers differ a little, so that workers that started together are not
    /// replaced together.
    fn jobs_left(&self, max: u64) -> u64 {
        let spread = if max < SPREAD_JOBS_MIN { 0 } else { max / SPREAD_SHARE };
        let limit = max - u64::from(self.worker.scattered()) * spread / u64::from(u32::MAX);
        (self.replies.uncounted + limit).saturating_sub(self.replies.count)
    }

    /// The age at which the worker is recycled, if the limit is `max`.
    pub(super) fn age_max(&self, max: Duration) -> Duration {
        let spread = max / u32::try_from(SPREAD_SHARE).unwrap_or(1);
        max - spread.mul_f64(f64::from(self.worker.scattered()) / f64::from(u32::MAX))
    }

    /// Notes the worker's resident memory. It is recycled at `max` bytes, but only once it has grown
    /// by a quarter: if it is as large as that from the start, a fresh one is no smaller.
    pub(super) fn note_memory(&mut self, resident_bytes: u64, max: u64) {
        let base = *self.replies.base_bytes.get_or_insert(resident_bytes);
        self.replies.is_large = resident_bytes >= max.max(base.saturating_add(base / 4));
    }

    /// For the simulator: forgets that the worker is large.
    #[cfg(test)]
    pub(super) fn forget_size(&mut self) {
        self.replies.is_large = false;
    }

    /// The number of different jobs that it has failed since it last succeeded.
    pub(super) fn failures(&self) -> u32 {
        self.replies.failures.jobs()
    }

    /// Whether the worker must be broken, because it fails one job after another. A launcher never
    /// is: its commands are processes of their own.
    pub(super) fn is_broken(&self, ctx: &StepContext<'_>) -> bool {
        let rules = ctx.policy.jobs.as_ref().filter(|_| !ctx.policy.runs_commands);
        let Some(rule) = rules.map(|rules| rules.recycle.failures) else { return false };
        // If its first job needs more memory than there is, a fresh worker has no more.
        let is_full = self.replies.says_out_of_memory && self.replies.count > 1;
        let is_judged = rule != RecycleFailures::Never;
        is_full && is_judged && ctx.health.may_refresh()
            || self.replies.failures.is_broken(rule, *ctx.health)
    }

    /// Whether the worker may be broken: it has failed several jobs in a row, so that a job should
    /// rather be retried in a fresh one.
    pub(super) fn is_suspicious(&self, ctx: &StepContext<'_>) -> bool {
        let rules = ctx.policy.jobs.as_ref().filter(|_| !ctx.policy.runs_commands);
        let is_judged = rules.is_some_and(|it| it.recycle.failures != RecycleFailures::Never);
        self.failures() > 1 && is_judged
    }

    /// For the simulator: forgets the failures.
    #[cfg(test)]
    pub(super) fn forget_failures(&mut self) {
        self.replies.failures = FailureRow::default();
    }

    /// Restarts the counts for recycling, because the worker's replacement did not come up.
    pub(super) fn renew(&mut self) {
        self.replies.uncounted = self.replies.count;
        (self.replies.base_bytes, self.replies.is_large) = (None, false);
    }

    /// Sends the worker one job at a time for a while, because it writes to stdout or stderr. Only
    /// then is it certain to which job a line of output belongs.
    pub(super) fn keep_apart(&mut self) {
        self.prefetch.keep_apart();
    }

    /// Notes that the worker has closed a pipe, or is ending.
    pub(super) fn close(&mut self, pipe: Pipe, now: Tick) {
        if self.link == Link::Open {
            self.link = Link::Closed { pipe, gone_by: now + GONE_AFTER };
        }
    }

    /// Notes that the worker broke the protocol.
    pub(super) fn break_off(&mut self) {
        self.link = Link::Broken;
    }

    /// Notes a sample of the worker's memory that is over its limit.
    pub(super) fn note_overweight(&mut self, bytes: u64) {
        self.overweight = self.overweight.max(Some(bytes));
    }

    /// The largest sample, of the worker or its command, that was over the limit, in bytes.
    pub(super) fn overweight(&self) -> Option<u64> {
        self.overweight.max(self.in_flight.head.overweight)
    }

    /// An attempt in this worker that took `took` and ends now.
    fn attempt(&self, number: u32, took: Duration, now: Tick, end: AttemptEnd) -> Attempt {
        let (worker, pid, began) = (self.worker, self.pid, now.saturating_sub(took));
        Attempt { number, worker, pid, began, took, peak_bytes: None, hang: None, end }
    }

    /// For the simulator: whether bytes and numbers are consistent.
    #[cfg(test)]
    pub(super) fn makes_sense(&self, ledger: &super::ledger::Ledger) -> bool {
        self.in_flight.makes_sense(self.keys().map(|key| ledger.bytes(key)).sum())
    }

    /// For the simulator: the jobs in flight.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = JobKey> {
        self.in_flight.keys()
    }

    /// For the simulator: counts a job that was not sent as if it had been.
    #[cfg(test)]
    pub(super) fn miscount(&mut self) {
        self.in_flight.miscount();
    }
}
