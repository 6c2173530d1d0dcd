//! The jobs that were sent to one worker and not answered, in the order in which it does them.
//!
//! Jobs are numbered from 1 in the order in which they are sent to the worker, as its flight
//! recorder numbers them. The numbers of the jobs in flight are consecutive.

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
    /// Facts about the first of them.
    pub(super) head: Head,
    /// How many jobs were sent to this worker so far.
    sent: u64,
    /// The number of the last job in flight; that of the last one before, if there is none.
    last: u64,
    /// The number of the last job that was answered; 0 if there is none.
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

    /// The job at the head.
    pub(super) fn first(&self) -> Option<JobKey> {
        self.jobs.front().copied()
    }

    /// The number of the first job in flight, if there is one.
    fn first_number(&self) -> u64 {
        self.last + 1 - self.jobs.len() as u64
    }

    /// A job of this many bytes is sent.
    pub(super) fn push(&mut self, key: JobKey, bytes: usize, now: Tick) {
        if self.jobs.is_empty() {
            self.head = Head::begin(now);
        }
        self.jobs.push_back(key);
        self.bytes += bytes;
        self.sent += 1;
        self.last = self.sent;
    }

    /// The first job was answered. What was known of it comes back, and the next one takes its
    /// place. When that one began is for the caller to say: a batch of replies has one time.
    pub(super) fn pop_answered(&mut self, bytes: usize) -> Head {
        self.answered_through = self.first_number();
        self.jobs.pop_front();
        self.bytes -= bytes;
        let since = self.head.since;
        std::mem::replace(&mut self.head, Head::begin(since))
    }

    /// Takes out the last job, which was not begun.
    pub(super) fn pop_last(&mut self, bytes: impl Fn(JobKey) -> usize) -> Option<JobKey> {
        let key = self.jobs.pop_back()?;
        self.last -= 1;
        self.bytes -= bytes(key);
        if self.jobs.is_empty() {
            self.head = Head::default();
        }
        Some(key)
    }

    /// Takes out a job that was never sent after all. Those behind it move up by one number.
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

    /// How many jobs are begun, where the worker's record says that it started this one last;
    /// `None` if that cannot be. Replies to jobs before that one may still be on their way.
    pub(super) fn begun(&self, started: u64) -> Option<u64> {
        let first = self.first_number();
        match started {
            _ if started == self.answered_through => Some(0),
            _ if (first..=self.last).contains(&started) => Some(started + 1 - first),
            _ => None,
        }
    }

    /// Whether the first job was running when the worker died, by its record.
    ///
    /// All jobs before it are answered, since replies outlive their worker. So a record at the job
    /// before it means that the worker died between two jobs. One at the job itself, or none that
    /// makes sense, means that the job ran.
    pub(super) fn was_running(&self, started: Option<u64>) -> bool {
        !self.jobs.is_empty() && started != Some(self.answered_through)
    }

    /// For the simulation: whether bytes and numbers add up.
    #[cfg(test)]
    pub(super) fn makes_sense(&self, bytes: usize) -> bool {
        let is_in_order = self.answered_through < self.first_number() && self.last <= self.sent;
        bytes == self.bytes && is_in_order
    }

    /// For the simulation: a job that was not sent is counted as if it had been.
    #[cfg(test)]
    pub(super) fn miscount(&mut self) {
        self.sent += 1;
        self.last += 1;
    }
}
