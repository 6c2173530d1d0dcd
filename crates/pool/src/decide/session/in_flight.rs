//! The jobs in flight of one worker: sent and not answered, in the order in which it does them.
//!
//! Each worker's jobs have sequence numbers from 1, in the order in which they are sent. The worker
//! counts in the same way and notes in its recorder the number of the job that it starts. The
//! numbers of the jobs in flight are consecutive.

use std::collections::VecDeque;

use super::{
    super::{input::Tick, ledger::JobKey},
    head::Head,
};

/// The queue of one worker.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    jobs: VecDeque<JobKey>,
    /// The length of their payloads, in bytes.
    bytes: usize,
    /// The state of the first of them.
    pub(super) head: Head,
    /// The number of jobs that were sent to this worker so far.
    sent: u64,
    /// The sequence number of the last job in flight; if none is, of the last one that was.
    last: u64,
    /// The sequence number of the last answered job; 0 if there is none.
    answered_through: u64,
}

impl InFlight {
    pub(super) fn is_empty(&self) -> bool {
        self.jobs.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = JobKey> {
        self.jobs.iter().copied()
    }

    /// The jobs behind the first `before`.
    pub(super) fn behind(&self, before: usize) -> impl Iterator<Item = JobKey> {
        self.jobs.range(before..).copied()
    }

    /// The job at the head.
    pub(super) fn first(&self) -> Option<JobKey> {
        self.jobs.front().copied()
    }

    /// The sequence number of the first job in flight; if none is, of the next one.
    fn first_number(&self) -> u64 {
        self.last + 1 - self.jobs.len() as u64
    }

    /// Adds a job with a payload of `bytes` bytes, which is being sent.
    pub(super) fn push(&mut self, key: JobKey, bytes: usize, now: Tick) {
        if self.jobs.is_empty() {
            self.head = Head::begin(now);
        }
        self.jobs.push_back(key);
        self.bytes += bytes;
        self.sent += 1;
        self.last = self.sent;
    }

    /// Removes the first job, which was answered. The caller sets when the next one began, because
    /// a batch of replies has a single time.
    pub(super) fn pop_answered(&mut self, bytes: usize) {
        self.answered_through = self.first_number();
        self.jobs.pop_front();
        self.bytes -= bytes;
        self.head = Head::begin(self.head.since);
    }

    /// Removes the last job, which was not started.
    pub(super) fn pop_last(&mut self, bytes: impl Fn(JobKey) -> usize) -> Option<JobKey> {
        let key = self.jobs.pop_back()?;
        self.last -= 1;
        self.bytes -= bytes(key);
        if self.jobs.is_empty() {
            self.head = Head::default();
        }
        Some(key)
    }

    /// Removes a job that could not be sent. The jobs behind it move up by one sequence number.
    pub(super) fn remove_unsent(
        &mut self,
        is_it: impl Fn(JobKey) -> bool,
        bytes: impl Fn(JobKey) -> usize,
        now: Tick,
    ) -> Option<JobKey> {
        let at = self.jobs.iter().position(|key| is_it(*key))?;
        let key = self.jobs.remove(at)?;
        self.bytes -= bytes(key);
        self.sent -= 1;
        self.last -= 1;
        if at == 0 {
            self.head = Head::begin(now);
        }
        Some(key)
    }

    /// How many of the jobs in flight are started, if job `started` was the last one to be started
    /// according to the recorder; `None` if that is impossible. Replies to earlier jobs may not
    /// have arrived yet.
    pub(super) fn begun(&self, started: u64) -> Option<u64> {
        let first = self.first_number();
        match started {
            _ if started == self.answered_through => Some(0),
            _ if (first..=self.last).contains(&started) => Some(started + 1 - first),
            _ => None,
        }
    }

    /// Whether the first job was running when the worker died, according to the recorder.
    ///
    /// All jobs before it are answered, because replies survive their worker. If the recorder holds
    /// the job before it, the worker died between two jobs. If it holds the job itself or an
    /// impossible value, the job counts as running.
    pub(super) fn was_running(&self, started: Option<u64>) -> bool {
        !self.jobs.is_empty() && started != Some(self.answered_through)
    }

    /// For the simulator: whether bytes and numbers are consistent.
    #[cfg(test)]
    pub(super) fn makes_sense(&self, bytes: usize) -> bool {
        let is_in_order = self.answered_through < self.first_number() && self.last <= self.sent;
        bytes == self.bytes && is_in_order
    }

    /// For the simulator: counts a job that was not sent as if it had been.
    #[cfg(test)]
    pub(super) fn miscount(&mut self) {
        self.sent += 1;
        self.last += 1;
    }
}
