//! Checks each retry and each outcome that the pool reports.

use super::{
    expected::Kind,
    world::{Record, World},
};
use crate::{
    decide::RunEnd,
    event::Again,
    job::{Attempt, AttemptEnd, FailureKind, JobEnd, Outcome},
    rules::Repeats,
};

/// After this number of deaths in a row before it began, a job runs alone.
pub(super) const UNBEGUN_MAX: u32 = 3;

impl World {
    pub(super) fn retried(&mut self, id: u64, attempt: &Attempt, again: Again) {
        let retry_on = self.policy.jobs.as_ref().map(|rules| rules.retry_on).unwrap();
        let counts = match (&attempt.end, again) {
            (AttemptEnd::Error(failure), Again::After(_)) => match failure.kind {
                FailureKind::Error => retry_on.error,
                FailureKind::Panic => retry_on.panic,
            },
            (AttemptEnd::Timeout(_), Again::After(_)) => retry_on.timeout,
            (AttemptEnd::Ran(_), Again::After(_)) => match Kind::of(attempt, None) {
                Kind::Timeout => retry_on.timeout,
                kind => kind == Kind::Error && retry_on.error,
            },
            (AttemptEnd::Crashed(_), Again::Alone) | (AttemptEnd::Requeued(_), Again::Next) => true,
            _ => false,
        };
        assert!(counts, "job {id} is tried again {again:?} after {:?}", attempt.end);
        assert!(self.stopping.is_none(), "job {id} is tried again, and the run stops");
        let now = self.now;
        let job = self.job(id);
        if let Again::After(delay) = again {
            job.not_before = now + delay;
        }
        job.push(attempt.clone());
        self.fresh.push((id, attempt.clone()));
    }

    /// Checks what a journal records: each attempt that begins also ends, or its job is requeued.
    pub(super) fn begun(&mut self, id: u64, is_begun: bool) {
        let is_new = if is_begun { self.begun.insert(id) } else { self.begun.remove(&id) };
        assert!(is_new, "job {id}: begun {is_begun}, again");
    }

    pub(super) fn settle(&mut self, outcome: &Outcome) {
        let id = outcome.id;
        let is_cancelled = self.cancelled.contains(&id);
        let gave_up = self.pool.end() == Some(RunEnd::GaveUp);
        let is_over = gave_up || self.pool.phase.reason().is_some();
        let repeats = self.policy.jobs.as_ref().map(|rules| rules.repeats).unwrap();
        let job = self.job(id);
        assert!(!job.settled, "job {id} is settled twice");
        assert_eq!(job.holder, None, "job {id} is settled in the hands of a worker");
        assert_eq!(outcome.position, job.position);
        job.settled = true;
        let all: Vec<Attempt> = outcome.attempts().cloned().collect();
        let known = job.attempts.len();
        assert_eq!(&all[..known], &job.attempts[..], "the attempts of job {id} as they were told");
        assert!(all.len() <= known + 1, "attempts of job {id} that nobody heard of");
        let is_new = all.len() > known;
        job.attempts = all;
        if is_new {
            self.begun(id, false);
        }
        assert!(!self.begun.contains(&id), "of job {id} an attempt has no end");
        let job = self.job(id);
        let last = job.attempts.last().map(|attempt| &attempt.end);
        let ok = match &outcome.end {
            JobEnd::Ok(reply) => Some(reply),
            _ => None,
        };
        let fits = match outcome.end {
            JobEnd::Ok(_) => matches!(last.map(Kind::of_end), Some(Kind::Ok(_))),
            JobEnd::Failed => match last.map(Kind::of_end) {
                Some(Kind::Error | Kind::Timeout) => true,
                Some(Kind::Requeued) if repeats == Repeats::Never => true,
                Some(Kind::Requeued) if repeats == Repeats::ThisRunOnly && is_over => true,
                _ => is_cancelled,
            },
            JobEnd::Crashed => {
                matches!(last.map(Kind::of_end), Some(Kind::Crashed | Kind::Requeued))
            }
            JobEnd::TooLong { bytes, cap } => last.is_none() && bytes > cap,
            JobEnd::Interrupted => last.is_some() && (is_over || is_cancelled),
            JobEnd::NotRun => last.is_none() && (is_over || is_cancelled),
        };
        assert!(fits, "job {id} ended {:?} after {last:?}", outcome.end);
        if let Some(attempt) = job.attempts.get(known).cloned() {
            let _ = Kind::of(&attempt, ok);
            self.fresh.push((id, attempt));
        }
        if let Some(reply) = ok {
            self.answers.insert(id, reply.clone());
        }
        if !is_cancelled {
            self.check_budgets(id);
        }
    }
}

impl Record {
    /// Adds an attempt. Only a death before the job begins is one that keeps it suspected.
    fn push(&mut self, attempt: Attempt) {
        if self.unbegun <= UNBEGUN_MAX {
            self.unbegun = 0;
        }
        self.attempts.push(attempt);
    }

    /// Whether the job runs alone in a fresh worker.
    pub(super) fn runs_alone(&self) -> bool {
        self.crashes() > 0 || self.unbegun >= UNBEGUN_MAX
    }

    pub(super) fn crashes(&self) -> usize {
        self.count(|end| matches!(end, AttemptEnd::Crashed(_)))
    }

    pub(super) fn count(&self, is: impl Fn(&AttemptEnd) -> bool) -> usize {
        self.attempts.iter().filter(|attempt| is(&attempt.end)).count()
    }
}
