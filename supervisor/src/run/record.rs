//! The recording of a run in a log, between the pool and the views. What becomes of each job is
//! written to the log first, and shown only once that is committed; then the log notes that it was
//! shown.
//!
//! The log is a trait object, because a build may be without one: [`open`] is the only function
//! that depends on the feature `journal`.

mod barrier;
#[cfg(feature = "journal")]
mod journal;
mod log;

use std::{collections::HashMap, mem, time::Duration};

use self::barrier::CommitBarrier;
#[cfg(feature = "journal")]
pub(super) use self::journal::open;
pub use self::log::RecordError;
#[cfg(not(feature = "journal"))]
pub(super) use self::log::open;
pub(super) use self::log::{Begun, Known, LocalFuture, Log, Opening, Sequence};
use pool::{
    Action, Actions, Tick,
    event::{Event, Tally, WorkerId},
    job::{Accepted, Job, JobEnd, Outcome, Payload},
};

/// The log of a run, and what waits for it.
#[derive(Debug)]
pub(super) struct Recording {
    log: Box<dyn Log>,
    /// Jobs that were tried before, with the number of attempts that are recorded as ended.
    tried: HashMap<u64, u32>,
    /// `None` once the log has failed: then nothing waits any more.
    barrier: Option<CommitBarrier>,
    /// Outcomes that are withheld for good.
    unrecorded: Tally,
    /// The number of those that were reported to the user.
    reported: u64,
}

/// What becomes of a job of the input.
#[derive(Debug)]
pub(super) enum Taken {
    /// The job is run.
    Accepted(Accepted),
    /// The job has ended before; its outcome is shown again.
    Again {
        /// Its sequence number in the input.
        place: u64,
        /// The job's number.
        id: u64,
    },
    /// The job has ended before, and its outcome was shown.
    Done,
}

impl Recording {
    pub(super) fn new(log: Box<dyn Log>) -> Self {
        let barrier = Some(CommitBarrier::default());
        Self { log, tried: HashMap::new(), barrier, unrecorded: Tally::default(), reported: 0 }
    }

    /// Takes a job of the input. `sequence` counts the jobs that have a place in the output.
    pub(super) fn take(&mut self, job: Job, sequence: &mut u64) -> Taken {
        let known = self.log.identify(&job);
        Self::taken(known, job, sequence)
    }

    /// Takes a job that is too long to be read.
    pub(super) fn take_too_long(&mut self, position: u64, bytes: u64, sequence: &mut u64) -> Taken {
        let job = Job { payload: Payload::copy(&[]), position };
        let known = self.log.identify_too_long(&job, bytes);
        Self::taken(known, job, sequence)
    }

    fn taken(known: Known, job: Job, sequence: &mut u64) -> Taken {
        let mut next = || {
            *sequence += 1;
            *sequence
        };
        match known {
            Known::Open { id } => Taken::Accepted(Accepted { id, place: next(), job }),
            Known::Settled { id, is_written: false } => Taken::Again { place: next(), id },
            Known::Settled { .. } => Taken::Done,
        }
    }

    /// The input has ended: jobs that were not in it, and whose outcomes are to be shown again.
    pub(super) fn missing(&mut self) -> Vec<u64> {
        self.log.missing()
    }

    /// Records the actions of a step. Takes its outcomes, which come back from
    /// [`commit`](Self::commit), unless they need not wait.
    pub(super) fn record(
        &mut self,
        now: Tick,
        actions: &mut Actions,
        pid: impl Fn(WorkerId) -> Option<i32>,
    ) {
        // Attempts that are retried end before the attempts that settle jobs.
        for action in &actions.list {
            match action {
                Action::Emit(Event::Retried { id, attempt, .. }) => {
                    self.tried.insert(*id, attempt.number);
                    self.log.ended(*id, attempt, None);
                }
                Action::Requeued { id } => self.log.start_cancelled(*id),
                _ => {}
            }
        }
        actions.settled.iter().for_each(|outcome| self.settle(outcome));
        for action in &actions.list {
            let Action::Send { worker, orders, .. } = action else { continue };
            let Some(pid) = pid(*worker) else { continue };
            for order in orders {
                self.log.started(order.id, order.attempt, *worker, pid, now);
            }
        }
        self.submit();
        let outcomes = mem::take(&mut actions.settled);
        actions.settled = match &mut self.barrier {
            Some(barrier) => barrier.hold_outcomes(outcomes),
            None => self.without_unrecorded(outcomes),
        };
    }

    /// Records the attempts of a job that has ended, except those that are recorded already.
    fn settle(&mut self, outcome: &Outcome) {
        let recorded = match self.tried.is_empty() {
            true => 0,
            false => self.tried.remove(&outcome.id).unwrap_or(0),
        };
        let mut attempts = outcome.attempts().filter(|it| it.number > recorded).peekable();
        while let Some(attempt) = attempts.next() {
            let end = attempts.peek().is_none().then_some(&outcome.end);
            self.log.ended(outcome.id, attempt, end);
        }
    }

    fn submit(&mut self) {
        match &mut self.barrier {
            Some(barrier) => self.log.submit().into_iter().for_each(|upto| barrier.submitted(upto)),
            None => self.log.discard(),
        }
    }

    /// Returns the action if it may be performed now; otherwise [`commit`](Self::commit) returns
    /// it later.
    pub(super) fn admit(&mut self, action: Action) -> Option<Action> {
        let must_wait = self.must_wait(&action);
        let Some(barrier) = &mut self.barrier else { return Some(action) };
        let admitted = barrier.hold_action(action, must_wait);
        if admitted.is_none() {
            self.log.flush();
        }
        admitted
    }

    /// Whether the action sends a job whose start must be committed first: any job if lost jobs are
    /// not run again, otherwise one that was tried before, so that a death of the supervisor
    /// forgets at most one attempt of a job.
    fn must_wait(&self, action: &Action) -> bool {
        let Action::Send { orders, .. } = action else { return false };
        let is_tried = || orders.iter().any(|order| order.attempt > 1);
        self.log.starts_come_first() || (!self.tried.is_empty() && is_tried())
    }

    /// Waits until more is committed.
    ///
    /// # Errors
    /// The log has failed; returned once.
    pub(super) async fn committed(&self) -> Result<Sequence, String> {
        match &self.barrier {
            Some(barrier) => self.log.committed_beyond(barrier.committed()).await,
            None => std::future::pending().await,
        }
    }

    /// Everything up to this record is committed: the outcomes that may be shown now, and the
    /// actions that may be performed.
    pub(super) fn commit(&mut self, upto: Sequence) -> (Vec<Outcome>, Vec<Action>) {
        self.barrier.as_mut().map(|barrier| barrier.commit(upto)).unwrap_or_default()
    }

    /// The log has failed: the outcomes that may be shown all the same.
    pub(super) fn fail(&mut self) -> Vec<Outcome> {
        let held = self.barrier.take().map(CommitBarrier::into_outcomes);
        let held = held.into_iter().flatten().collect();
        self.without_unrecorded(held)
    }

    /// Withholds outcomes that are not recorded: a run that continues this one runs these jobs
    /// again. That a job was not run needs no record.
    fn without_unrecorded(&mut self, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
        outcomes.retain(|outcome| {
            match outcome.end {
                JobEnd::Ok(_) => self.unrecorded.ok += 1,
                JobEnd::Crashed => self.unrecorded.crashed += 1,
                JobEnd::Failed => self.unrecorded.failed += 1,
                JobEnd::TooLong { .. } | JobEnd::Interrupted | JobEnd::NotRun => {}
            }
            !outcome.end.is_final()
        });
        outcomes
    }

    /// The outcomes that were withheld for good, once the log has failed.
    pub(super) fn unrecorded(&self) -> Option<Tally> {
        self.barrier.is_none().then_some(self.unrecorded)
    }

    /// A line about the outcomes that were withheld for good since the last call.
    pub(super) fn take_withheld(&mut self) -> Option<String> {
        let withheld = self.unrecorded.settled() - self.reported;
        self.reported += withheld;
        let what = "ended and could not be recorded: they are not reported, and will be run again";
        (withheld > 0).then(|| format!("supervisor: {withheld} more {what}\n"))
    }

    /// Records that the outcomes of these jobs reached the output.
    pub(super) fn written(&mut self, mut ids: Vec<u64>) {
        ids.sort_unstable();
        for range in ids.chunk_by(|one, next| one + 1 == *next) {
            if let [first, ..] = range
                && let [.., last] = range
            {
                self.log.written(*first, *last);
            }
        }
        self.submit();
    }

    /// Whether outcomes wait to be committed.
    pub(super) fn holds_outcomes(&self) -> bool {
        self.barrier.as_ref().is_some_and(CommitBarrier::holds_outcomes)
    }

    /// Commits without waiting for more records.
    pub(super) fn flush(&self) {
        self.log.flush();
    }

    /// Whether more may be recorded.
    pub(super) fn has_room(&self) -> bool {
        self.barrier.is_none() || self.log.has_room()
    }

    /// Waits until more may be recorded; for ever once the log has failed.
    pub(super) async fn room(&self) {
        self.log.room().await;
    }

    /// The number of jobs that failed in previous runs and are not run again.
    pub(super) fn failed_before(&self) -> u64 {
        self.log.failed_before()
    }

    /// The lines of the final summary. `is_whole` says that the input was read to its end.
    pub(super) fn summary(&self, is_whole: bool) -> String {
        self.log.summary(is_whole)
    }

    /// Commits all records, and how the run ended.
    pub(super) fn close(
        self,
        since_1970: Duration,
        status: u8,
    ) -> LocalFuture<'static, Result<(), String>> {
        self.log.close(since_1970, status)
    }
}
