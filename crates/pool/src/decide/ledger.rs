//! Keeps the jobs of a run that are not settled, and where each one is.
//!
//! A job is settled when its outcome is final and handed to the caller. Every accepted job has one
//! entry until then, and is settled exactly once. It is in one of the queues `ready`, `failed`,
//! `isolated` and `waiting`, or in flight: sent to a worker and not answered. To requeue a job is to move it
//! from in flight back into a queue.

#[cfg(test)]
mod simulated;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use super::{
    action::{Action, Actions, Order},
    history::{AttemptHistory, Disposition},
    input::Tick,
};
use crate::{
    event::{Tally, WorkerId},
    job::{Accepted, Attempt, Job, JobEnd, Outcome, Payload},
    rules::JobRules,
};

/// The jobs of a run that are not settled.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    entries: Vec<Entry>,
    free: Vec<JobKey>,
    /// Jobs for any worker, the oldest (the smallest sequence number) first.
    ready: VecDeque<JobKey>,
    /// Jobs that failed, the oldest first. The next attempt should be in another worker.
    failed: VecDeque<JobKey>,
    /// The length of the payloads in `ready` and `failed`, in bytes.
    ready_bytes: usize,
    /// Jobs that wait for an isolated retry: alone, in a fresh worker. The oldest comes first.
    isolated: VecDeque<JobKey>,
    /// Jobs that wait for the delay before their next attempt.
    waiting: BinaryHeap<Reverse<(Tick, JobKey)>>,
    /// Cancelled jobs. Each is settled as soon as it is in a queue here.
    cancelled: Vec<JobKey>,
    /// Backpressure: see [`Ledger::hold`].
    hold: bool,
    /// The largest sequence number (`place`) of any job that was ever sent.
    sent_through: u64,
    tally: Tally,
}

/// The data by which the reply to a job is recognized.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) id: u64,
    /// The number of the attempt, from 1.
    pub(super) attempt: u32,
    /// The length of its payload, in bytes.
    pub(super) bytes: usize,
}

/// A job that is not settled.
#[derive(Debug)]
struct Entry {
    id: u64,
    place: u64,
    position: u64,
    payload: Payload,
    /// The job's failed attempts. Most jobs never have any.
    history: Option<Box<AttemptHistory>>,
}

/// The key of an unsettled job in the ledger. It is reused once the job is settled.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct JobKey(u32);

impl Entry {
    fn next_attempt(&self) -> u32 {
        self.history.as_ref().map_or(1, |history| history.next_attempt())
    }
}

impl Ledger {
    /// Accepts a job at the end of the queue.
    pub(super) fn accept(&mut self, accepted: Accepted) {
        self.tally.accepted += 1;
        let Accepted { id, place, job: Job { payload, position } } = accepted;
        self.ready_bytes += payload.len();
        let entry = Entry { id, place, position, payload, history: None };
        let key = match self.free.pop() {
            Some(key) => {
                self.entries[index(key)] = entry;
                key
            }
            None => {
                self.entries.push(entry);
                JobKey(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
            }
        };
        self.ready.push_back(key);
        self.tally.queued += 1;
    }

    /// Accepts a job that no frame can hold, and settles it.
    pub(super) fn refuse(&mut self, accepted: Accepted, end: JobEnd, actions: &mut Actions) {
        self.tally.accepted += 1;
        self.tally.failed += 1;
        let Accepted { id, place, job: Job { payload, position } } = accepted;
        let (last, earlier, again) = (None, Vec::new(), false);
        actions.settled.push(Outcome { id, place, position, payload, end, last, earlier, again });
    }

    /// The unsettled job with this number.
    pub(super) fn find(&self, id: u64) -> Option<JobKey> {
        let keys = (0..).map(JobKey).zip(&self.entries);
        let mut same = keys.filter(|(_, entry)| entry.id == id).map(|(key, _)| key);
        same.find(|key| !self.free.contains(key))
    }

    /// Marks a job as cancelled: no further attempt follows.
    pub(super) fn cancel(&mut self, key: JobKey) {
        self.entries[index(key)].history.get_or_insert_default().is_cancelled = true;
        if !self.cancelled.contains(&key) {
            self.cancelled.push(key);
        }
    }

    /// Settles cancelled jobs that are in a queue, as not run.
    pub(super) fn settle_cancelled(&mut self, actions: &mut Actions) {
        for key in std::mem::take(&mut self.cancelled) {
            let is_same = |known: &JobKey| *known == key;
            if let Some(at) = self.ready.iter().position(is_same) {
                self.ready.remove(at);
                self.ready_bytes -= self.entries[index(key)].payload.len();
            } else if let Some(at) = self.failed.iter().position(is_same) {
                self.failed.remove(at);
                self.ready_bytes -= self.entries[index(key)].payload.len();
            } else if let Some(at) = self.isolated.iter().position(is_same) {
                self.isolated.remove(at);
            } else if self.waiting.iter().any(|Reverse((_, known))| is_same(known)) {
                self.waiting.retain(|Reverse((_, known))| !is_same(known));
            } else {
                self.cancelled.push(key);
                continue;
            }
            self.give_up(key, JobEnd::NotRun, actions);
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// The number of jobs that are not settled.
    pub(super) fn open(&self) -> u64 {
        self.tally.queued + self.tally.in_flight
    }

    /// The number of jobs that could be sent now.
    pub(super) fn ready(&self) -> usize {
        self.ready.len() + self.failed.len()
    }

    /// Whether some job could be sent now that has failed before.
    pub(super) fn has_failed(&self) -> bool {
        !self.failed.is_empty()
    }

    pub(super) fn ready_bytes(&self) -> usize {
        self.ready_bytes
    }

    pub(super) fn has_isolated(&self) -> bool {
        !self.isolated.is_empty()
    }

    /// When the next delayed job gets its next attempt.
    pub(super) fn deadline(&self) -> Option<Tick> {
        self.waiting.peek().map(|Reverse((due, _))| *due)
    }

    pub(super) fn id(&self, key: JobKey) -> u64 {
        self.entries[index(key)].id
    }

    /// The data by which the reply to a job is recognized.
    pub(super) fn sent(&self, key: JobKey) -> Sent {
        let entry = &self.entries[index(key)];
        Sent { id: entry.id, attempt: entry.next_attempt(), bytes: entry.payload.len() }
    }

    /// The order that is sent for a job.
    pub(super) fn order(&self, key: JobKey) -> Order {
        let entry = &self.entries[index(key)];
        Order { id: entry.id, attempt: entry.next_attempt(), payload: entry.payload.clone() }
    }

    pub(super) fn payload(&self, key: JobKey) -> &Payload {
        &self.entries[index(key)].payload
    }

    /// The length of a job's payload, in bytes.
    pub(super) fn bytes(&self, key: JobKey) -> usize {
        self.payload(key).len()
    }

    /// Sets or lifts backpressure, under which no new job is sent. A job is new if its sequence
    /// number is above the largest one that was ever sent. Older jobs, which were sent before and
    /// requeued, are sent all the same: ordered output may be waiting for exactly their outcomes.
    pub(super) fn hold(&mut self, hold: bool) {
        self.hold = hold;
    }

    /// Takes the next job to send, and the length of its payload in bytes. A job that has just
    /// failed in the worker `avoided` is not taken.
    pub(super) fn take_ready(&mut self, avoided: Option<WorkerId>) -> Option<(JobKey, usize)> {
        if !self.failed.is_empty()
            && let Some(taken) = self.take_failed(avoided)
        {
            return Some(taken);
        }
        let key = *self.ready.front()?;
        let entry = &self.entries[index(key)];
        if self.hold && entry.place > self.sent_through {
            return None;
        }
        self.sent_through = self.sent_through.max(entry.place);
        let bytes = entry.payload.len();
        self.ready_bytes -= bytes;
        self.ready.pop_front();
        self.count_sent();
        Some((key, bytes))
    }

    /// Backpressure does not matter, because each of these jobs was sent before.
    fn take_failed(&mut self, avoided: Option<WorkerId>) -> Option<(JobKey, usize)> {
        /// All jobs of a long queue may have failed in the same worker.
        const LOOKED_AT_MAX: usize = 16;
        let is_other = |key: &JobKey| avoided.is_none() || self.failed_in(*key) != avoided;
        let at = self.failed.iter().take(LOOKED_AT_MAX).position(is_other)?;
        let key = self.failed.remove(at)?;
        let bytes = self.bytes(key);
        self.ready_bytes -= bytes;
        self.count_sent();
        Some((key, bytes))
    }

    /// The worker in which a job has just failed.
    fn failed_in(&self, key: JobKey) -> Option<WorkerId> {
        self.entries[index(key)].history.as_ref().and_then(|history| history.failed_in())
    }

    /// Takes the next job for an isolated retry, and the length of its payload in bytes.
    pub(super) fn take_isolated(&mut self) -> Option<(JobKey, usize)> {
        let key = self.isolated.pop_front()?;
        self.count_sent();
        Some((key, self.bytes(key)))
    }

    fn count_sent(&mut self) {
        self.tally.queued -= 1;
        self.tally.in_flight += 1;
    }

    /// Requeues a job in flight that was not started. This counts as no attempt.
    pub(super) fn requeue(&mut self, key: JobKey, actions: &mut Actions) {
        self.tally.in_flight -= 1;
        self.tally.queued += 1;
        actions.push(Action::Requeued { id: self.entries[index(key)].id });
        self.enqueue(key);
    }

    /// Inserts a job into its queue by its sequence number: behind older jobs, before younger ones.
    pub(super) fn enqueue(&mut self, key: JobKey) {
        let entry = &self.entries[index(key)];
        let queue = match &entry.history {
            Some(history) if history.runs_alone() => &mut self.isolated,
            history => {
                self.ready_bytes += entry.payload.len();
                let has_failed = history.as_ref().is_some_and(|it| it.failed_in().is_some());
                if has_failed { &mut self.failed } else { &mut self.ready }
            }
        };
        let at = queue.partition_point(|known| self.entries[index(*known)].place < entry.place);
        queue.insert(at, key);
    }

    /// Delays the next attempt of a job until `due`.
    pub(super) fn wait(&mut self, key: JobKey, due: Tick) {
        self.waiting.push(Reverse((due, key)));
    }

    /// Adds the failed attempt of a job in flight to its history, and decides what follows. The
    /// caller must requeue or settle the job; it counts as queued meanwhile.
    pub(super) fn add_attempt(
        &mut self,
        key: JobKey,
        attempt: Attempt,
        rules: &JobRules,
    ) -> Disposition {
        self.tally.in_flight -= 1;
        self.tally.queued += 1;
        let entry = &mut self.entries[index(key)];
        entry.history.get_or_insert_default().add(attempt, entry.id, rules)
    }

    /// Notes that a worker died before it began this job, which was next in its queue. Returns
    /// whether this death is an attempt of the job.
    pub(super) fn note_unbegun(&mut self, key: JobKey) -> bool {
        self.entries[index(key)].history.get_or_insert_default().note_unbegun()
    }

    pub(super) fn count_retry(&mut self) {
        self.tally.retried += 1;
    }

    /// Queues the jobs whose delay is over.
    pub(super) fn on_time(&mut self, now: Tick) {
        while let Some(Reverse((due, key))) = self.waiting.peek().copied()
            && due <= now
        {
            self.waiting.pop();
            self.enqueue(key);
        }
    }

    /// Settles a job that is done.
    pub(super) fn done(
        &mut self,
        key: JobKey,
        reply: Payload,
        attempt: Attempt,
        actions: &mut Actions,
    ) {
        self.tally.in_flight -= 1;
        self.settle(key, JobEnd::Ok(reply), Some(attempt), actions);
    }

    /// Settles a queued job. Its last attempt, if any, is in its history already.
    pub(super) fn give_up(&mut self, key: JobKey, end: JobEnd, actions: &mut Actions) {
        self.tally.queued -= 1;
        self.settle(key, end, None, actions);
    }

    /// Settles all jobs that are not in flight, as not run or interrupted, because the run ends.
    pub(super) fn abandon(&mut self, actions: &mut Actions) {
        let ready = std::mem::take(&mut self.ready);
        let failed = std::mem::take(&mut self.failed);
        self.ready_bytes = 0;
        let isolated = std::mem::take(&mut self.isolated);
        let waiting = std::mem::take(&mut self.waiting).into_sorted_vec();
        let waiting = waiting.into_iter().rev().map(|Reverse((_, key))| key);
        for key in ready.into_iter().chain(failed).chain(isolated).chain(waiting) {
            self.give_up(key, JobEnd::NotRun, actions);
        }
    }

    fn settle(
        &mut self,
        key: JobKey,
        end: JobEnd,
        attempt: Option<Attempt>,
        actions: &mut Actions,
    ) {
        if !self.cancelled.is_empty() {
            self.cancelled.retain(|known| *known != key);
        }
        let entry = &mut self.entries[index(key)];
        let mut earlier = entry.history.take().map(|t| t.attempts).unwrap_or_default();
        let last = attempt.or_else(|| earlier.pop());
        let end = if end == JobEnd::NotRun && last.is_some() { JobEnd::Interrupted } else { end };
        match end {
            JobEnd::Ok(_) => self.tally.ok += 1,
            JobEnd::Failed | JobEnd::TooLong { .. } => self.tally.failed += 1,
            JobEnd::Crashed => self.tally.crashed += 1,
            JobEnd::Interrupted => self.tally.interrupted += 1,
            JobEnd::NotRun => self.tally.not_run += 1,
        }
        let payload = std::mem::replace(&mut entry.payload, Payload::copy(&[]));
        let (id, place, position) = (entry.id, entry.place, entry.position);
        self.free.push(key);
        let again = false;
        actions.settled.push(Outcome { id, place, position, payload, end, last, earlier, again });
    }
}

fn index(key: JobKey) -> usize {
    key.0 as usize
}
