//! Keeps the failed attempts of a job, and decides what follows a failed attempt.
//!
//! There are three separate budgets. Failures and timeouts spend `retries`. Deaths of a worker that
//! are charged to the job spend `crash_retries`. An attempt that ended without being charged is
//! requeued, at most `REQUEUES_MAX` times.
//!
//! A death before a job began is no attempt of the job. But if `UNBEGUN_MAX` workers in a row died
//! with the job next in their queue, the job itself may kill them before they note that they begin
//! it. The job is then suspected: it runs alone in a fresh worker, and a death of that worker is an
//! attempt of the job, whether or not the worker noted the job.

use std::time::Duration;

use super::input::Jitter;
use crate::{
    event::Again,
    exit::{Cause, ProtocolFault, Sender},
    job::{Attempt, AttemptEnd, FailureKind, JobEnd},
    rules::{JobRules, Repeats},
    worker_id::WorkerId,
};

/// The delay between attempts grows up to this, or stays constant if the first one is longer.
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A job is quarantined when its attempts have ended uncharged this number of times: whatever kills
/// its workers may do so because of the job.
const REQUEUES_MAX: u32 = 5;
/// A job is suspected after this number of workers in a row has died with it next in their queue.
const UNBEGUN_MAX: u32 = 3;

/// The failed attempts of a job.
#[derive(Debug, Default)]
pub(super) struct AttemptHistory {
    pub(super) attempts: Vec<Attempt>,
    failures: u32,
    crashes: u32,
    requeues: u32,
    /// The number of workers in a row that died with the job next in their queue.
    unbegun: u32,
    /// Whether a user cancelled the job: no attempt follows.
    pub(super) is_cancelled: bool,
}

/// What becomes of a job after a failed attempt.
#[derive(Debug)]
pub(super) enum Disposition {
    Retry(Again),
    Settled(JobEnd),
}

impl AttemptHistory {
    pub(super) fn next_attempt(&self) -> u32 {
        u32::try_from(self.attempts.len()).map_or(u32::MAX, |earlier| earlier.saturating_add(1))
    }

    /// Whether the job runs alone in fresh workers: a death was charged to it, or it is suspected.
    pub(super) fn runs_alone(&self) -> bool {
        self.crashes > 0 || self.unbegun >= UNBEGUN_MAX
    }

    /// The worker in which the job has just failed: another one should try it next.
    pub(super) fn failed_in(&self) -> Option<WorkerId> {
        let last = self.attempts.last()?;
        let is_failure = matches!(last.end, AttemptEnd::Error(_) | AttemptEnd::Timeout(_));
        is_failure.then_some(last.worker)
    }

    /// Notes that a worker died before it began the job, which was next in its queue. Returns
    /// whether the job was suspected already, so that this death is an attempt of it.
    pub(super) fn note_unbegun(&mut self) -> bool {
        let is_suspected = self.unbegun >= UNBEGUN_MAX;
        self.unbegun = self.unbegun.saturating_add(1);
        is_suspected
    }

    /// For the simulator: forgets the deaths before the job began.
    #[cfg(test)]
    pub(super) fn forget_unbegun(&mut self) {
        self.unbegun = 0;
    }

    /// Adds a failed attempt and decides what follows. `id` is the job's number, which seeds the
    /// jitter of its delays.
    pub(super) fn add(&mut self, attempt: Attempt, id: u64, rules: &JobRules) -> Disposition {
        let disposition = match &attempt.end {
            // Successful attempts are never added.
            AttemptEnd::Ok => Disposition::Settled(JobEnd::Failed),
            AttemptEnd::Error(failure) => self.failed(
                id,
                rules,
                match failure.kind {
                    FailureKind::Error => rules.retry_on.error,
                    FailureKind::Panic => rules.retry_on.panic,
                },
            ),
            AttemptEnd::Timeout(_) => self.failed(id, rules, rules.retry_on.timeout),
            AttemptEnd::Ran(ran) => self.ran(id, rules, ran.cause),
            AttemptEnd::Crashed(_) => {
                self.crashes += 1;
                if self.crashes > rules.crash_retries {
                    Disposition::Settled(JobEnd::Crashed)
                } else {
                    Disposition::Retry(Again::Alone)
                }
            }
            AttemptEnd::Requeued(_) | AttemptEnd::Lost => self.requeued(rules),
        };
        // A suspected job remains so, and is charged for each further death before it begins.
        if self.unbegun <= UNBEGUN_MAX {
            self.unbegun = 0;
        }
        self.attempts.push(attempt);
        if self.is_cancelled { Disposition::Settled(JobEnd::Failed) } else { disposition }
    }

    /// Decides what follows a command that did not succeed. Its end counts as a failure of the job,
    /// unless the supervisor stopped it: then the job is requeued.
    fn ran(&mut self, id: u64, rules: &JobRules, cause: Cause) -> Disposition {
        match cause {
            Cause::Timeout => self.failed(id, rules, rules.retry_on.timeout),
            Cause::AskedToStop(_) => self.requeued(rules),
            _ => self.failed(id, rules, rules.retry_on.error),
        }
    }

    fn requeued(&mut self, rules: &JobRules) -> Disposition {
        self.requeues += 1;
        if rules.repeats == Repeats::Never {
            Disposition::Settled(JobEnd::Failed)
        } else if self.requeues >= REQUEUES_MAX {
            Disposition::Settled(JobEnd::Crashed)
        } else {
            Disposition::Retry(Again::Next)
        }
    }

    fn failed(&mut self, id: u64, rules: &JobRules, counts: bool) -> Disposition {
        self.failures += 1;
        if !counts || self.failures > rules.retries {
            return Disposition::Settled(JobEnd::Failed);
        }
        let doubled = 2u32.saturating_pow(self.failures - 1);
        let delay_max = rules.retry_delay.max(DELAY_MAX);
        let delay = rules.retry_delay.saturating_mul(doubled).min(delay_max);
        // Fibonacci hashing spreads the numbers of neighbouring jobs far apart.
        let random = (id ^ u64::from(self.failures) << 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let delay = Jitter::from_random(random >> 32).apply(delay).min(delay_max);
        Disposition::Retry(Again::After(delay))
    }
}

/// Whether the death of a worker is charged to the job that ran: whether it spends one of the job's
/// isolated retries.
///
/// Exits, faults, memory and protocol errors are charged. Signals from outside and requests of the
/// supervisor are not, nor is the CPU limit, since CPU time adds up over all jobs of a worker.
pub(super) fn is_charged(cause: Cause) -> bool {
    match cause {
        // The fault concerns an earlier job.
        Cause::Protocol(ProtocolFault::SecondReply { .. }) => false,
        Cause::Exit
        | Cause::Signal(Sender::Itself)
        | Cause::Memory(_)
        | Cause::Protocol(_)
        | Cause::Timeout => true,
        Cause::Signal(Sender::Outside)
        | Cause::CpuLimit
        | Cause::CouldNotStart(_)
        | Cause::Unobserved
        | Cause::AskedToStop(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::{Prefetch, Recycle, RetryOn};

    fn rules(retry_delay: Duration) -> JobRules {
        JobRules {
            retries: u32::MAX,
            retry_delay,
            retry_on: RetryOn { error: true, panic: true, timeout: true },
            crash_retries: 0,
            repeats: Repeats::Allowed,
            timeout: None,
            deadline: None,
            delay: Duration::ZERO,
            prefetch: Prefetch::Auto,
            halt: None,
            start_timeout: Duration::ZERO,
            recycle: Recycle::default(),
        }
    }

    #[test]
    fn a_delay_grows_to_its_cap_and_jitter_does_not_exceed_it() {
        const S: Duration = Duration::from_secs(1);
        for (first, cap) in [(S, DELAY_MAX), (29 * S, DELAY_MAX), (300 * S, 300 * S)] {
            for id in 0..50 {
                let mut history = AttemptHistory::default();
                let delays: Vec<_> = (0..20)
                    .map(|_| match history.failed(id, &rules(first), true) {
                        Disposition::Retry(Again::After(delay)) => delay,
                        other => panic!("{other:?}"),
                    })
                    .collect();
                assert!(delays[0] >= first / 5 * 4 && delays[0] <= first / 5 * 6, "{delays:?}");
                assert!(delays.iter().all(|delay| *delay <= cap), "{delays:?}");
                assert!(delays[10..].iter().all(|delay| *delay >= cap / 5 * 4), "{delays:?}");
            }
        }
    }
}
