//! Maps the sequence numbers of jobs in flight to the ids under which users know them.
//!
//! The worker's recorder names the job it runs by sequence number, counted from the first job
//! sent on the connection. The supervisor needs the id of that job to label output and to show
//! what a worker does. Nothing else is derived from this list: which jobs are in flight, and what
//! becomes of them, is the pool's business.

use std::collections::VecDeque;

/// The jobs that were sent on a connection and are neither answered nor retracted.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    /// Number of jobs sent, which is the sequence number of the last one.
    sent: u64,
    /// Sequence number of the last job that was ever in flight together with an earlier one.
    last_overlap: u64,
    /// Sequence number and id of each job, oldest first.
    jobs: VecDeque<(u64, u64)>,
}

impl InFlight {
    /// Adds a job that was sent.
    pub(super) fn push(&mut self, id: u64) {
        self.sent += 1;
        if !self.jobs.is_empty() {
            self.last_overlap = self.sent;
        }
        self.jobs.push_back((self.sent, id));
    }

    /// Removes the oldest `count` jobs, which were answered.
    pub(super) fn answered(&mut self, count: usize) {
        let count = count.min(self.jobs.len());
        self.jobs.drain(..count);
    }

    /// Removes the jobs behind sequence number `started`, which were retracted.
    pub(super) fn retracted(&mut self, started: u64) {
        self.jobs.retain(|(sequence, _)| *sequence <= started);
    }

    /// Number of jobs sent since the connection was opened.
    pub(super) fn sent(&self) -> u64 {
        self.sent
    }

    /// Number of jobs in flight.
    pub(super) fn len(&self) -> usize {
        self.jobs.len()
    }

    /// Whether this job is in flight.
    pub(super) fn has(&self, id: u64) -> bool {
        self.jobs.iter().any(|(_, job)| *job == id)
    }

    /// The id of the job that runs, where the recorder names it as `running`. If that job is not
    /// in flight (any more), this is the oldest job in flight: it runs next.
    pub(super) fn current(&self, running: u64) -> Option<u64> {
        let (first, id) = *self.jobs.front()?;
        let later = running.checked_sub(first).and_then(|later| usize::try_from(later).ok());
        let job = later.and_then(|later| self.jobs.get(later));
        Some(job.map_or(id, |(_, id)| *id))
    }

    /// Whether output that the worker wrote since it started job `since` belongs to the one job
    /// in flight.
    ///
    /// With several jobs in flight, a reply may arrive before output that the worker wrote
    /// earlier, since the two go through different pipes. With a single job in flight they cannot
    /// be confused: the reply wakes the supervisor, which then reads the output before it sends
    /// another job.
    pub(super) fn is_unambiguous(&self, since: u64) -> bool {
        self.jobs.len() < 2 && (self.last_overlap == 0 || since > self.last_overlap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_flight(ids: &[u64]) -> InFlight {
        let mut jobs = InFlight::default();
        ids.iter().for_each(|id| jobs.push(*id));
        jobs
    }

    #[test]
    fn the_running_job_is_found_by_its_sequence_number() {
        let mut jobs = in_flight(&[70, 71, 72]);
        assert_eq!([0, 1, 2, 3].map(|running| jobs.current(running)), [70, 70, 71, 72].map(Some));
        jobs.answered(1);
        assert_eq!([1, 2, 3, 4].map(|running| jobs.current(running)), [71, 71, 72, 71].map(Some));
        jobs.answered(5);
        assert_eq!((jobs.current(3), jobs.len(), jobs.sent()), (None, 0, 3));
    }

    #[test]
    fn a_retracted_job_keeps_its_sequence_number() {
        let mut jobs = in_flight(&[70, 71, 72]);
        jobs.retracted(1);
        assert_eq!((jobs.len(), jobs.current(3)), (1, Some(70)));
        jobs.answered(1);
        jobs.push(73);
        assert_eq!((jobs.sent(), jobs.current(4)), (4, Some(73)));
    }

    #[test]
    fn output_is_ambiguous_while_jobs_overlap_and_until_one_has_run_alone() {
        let mut jobs = in_flight(&[70]);
        assert!(jobs.is_unambiguous(0) && jobs.is_unambiguous(1));
        jobs.push(71);
        assert!(!jobs.is_unambiguous(2));
        jobs.answered(1);
        assert!(!jobs.is_unambiguous(2), "output of the first may still be unread");
        jobs.answered(1);
        jobs.push(72);
        assert!(jobs.is_unambiguous(3) && !jobs.is_unambiguous(2));
    }
}
