//! Judges from the replies of workers whether one of them is broken: it lives, and fails one job
//! after another while others succeed.
//!
//! A broken worker fails its jobs at once, so it is idle before all others and would get most jobs
//! of the queue. It is replaced once chance no longer explains its failures: if other workers fail
//! a share `p` of their jobs, `n` failures of different jobs in a row have a probability of `p^n`,
//! which must be below 1/10000. `p` counts the replies of others since the row began. Without any,
//! it is 1/2, and 14 failures are needed; if all others succeed, 3 to 5 are.
//!
//! If every job fails wherever it runs, the jobs are at fault. Therefore each replacement that no
//! successful job has followed doubles the number of failures that the next one needs.

use crate::rules::RecycleFailures;

/// The smallest number of failures that tell anything.
const FAILURES_MIN: u32 = 3;
/// The probability below which a row of failures is no chance.
const CHANCE_MAX: f64 = 1e-4;
/// The failures of a row have one cause, so no more than this number counts as the experience of
/// other workers.
const COUNTED_MAX: u32 = 3;
/// After this number of replacements that helped nothing, no worker is replaced for a retry.
const IN_VAIN_MAX: u32 = 3;
/// A worker that has failed this number of jobs in a row and was not replaced is as good as any.
const ACQUITTED_AFTER: u32 = 32;

/// The replies of all workers.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Health {
    /// Jobs that succeeded.
    ok: u64,
    /// Jobs that failed; of each row, only the first ones.
    failed: u64,
    /// Workers that were replaced for their failures since a job last succeeded.
    in_vain: u32,
}

/// The failures of one worker since it last succeeded.
#[derive(Default, Debug)]
pub(super) struct FailureRow {
    /// The number of different jobs.
    jobs: u32,
    /// The last of them.
    last: u64,
    /// The replies of all workers when the row began.
    before: Health,
}

impl Health {
    /// Whether a worker may be replaced for no more than that a job is to be retried elsewhere.
    pub(super) fn may_refresh(self) -> bool {
        self.in_vain < IN_VAIN_MAX
    }

    /// For the simulator: forgets the replacements that helped nothing.
    #[cfg(test)]
    pub(super) fn forget_vain(&mut self) {
        self.in_vain = 0;
    }

    /// Notes that a worker is replaced for its failures.
    pub(super) fn note_replaced(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
    }
}

impl FailureRow {
    /// The number of different jobs that failed in a row.
    pub(super) fn jobs(&self) -> u32 {
        self.jobs
    }

    /// Whether the worker may be sent more jobs at a time than before.
    pub(super) fn may_grow(&self) -> bool {
        self.jobs == 0 || self.jobs > ACQUITTED_AFTER
    }

    /// Notes that the worker succeeded.
    pub(super) fn succeeded(&mut self, all: &mut Health) {
        self.jobs = 0;
        all.ok += 1;
        all.in_vain = 0;
    }

    /// Notes that the worker failed this job.
    pub(super) fn failed(&mut self, job: u64, all: &mut Health) {
        if self.jobs == 0 {
            self.before = *all;
        } else if self.last == job {
            return;
        }
        self.last = job;
        self.jobs = self.jobs.saturating_add(1);
        if self.jobs <= COUNTED_MAX {
            all.failed += 1;
        }
    }

    /// Whether the worker is broken, according to the rule.
    pub(super) fn is_broken(&self, rule: RecycleFailures, all: Health) -> bool {
        match rule {
            RecycleFailures::Never => false,
            RecycleFailures::After(jobs) => self.jobs >= jobs,
            RecycleFailures::Auto => {
                let jobs = self.jobs.checked_shr(all.in_vain).unwrap_or(0);
                jobs >= FAILURES_MIN && self.chance(jobs, all) < CHANCE_MAX
            }
        }
    }

    /// The probability that this number of jobs fails in a row by chance.
    fn chance(&self, jobs: u32, all: Health) -> f64 {
        let ok = all.ok - self.before.ok;
        let own = u64::from(self.jobs.min(COUNTED_MAX));
        let failed = (all.failed - self.before.failed).saturating_sub(own);
        // The rule of succession, by which there is always a doubt.
        #[expect(clippy::cast_precision_loss, reason = "an estimate")]
        let share = (failed + 1) as f64 / (ok + failed + 2) as f64;
        share.powi(i32::try_from(jobs).unwrap_or(i32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The number of failures after which a worker is replaced, if others meanwhile give these
    /// replies.
    fn needed(ok: u64, failed: u64, in_vain: u32) -> Option<u32> {
        let mut all = Health { ok: 50, failed: 7, in_vain };
        let mut row = FailureRow::default();
        row.failed(1, &mut all);
        (all.ok, all.failed) = (all.ok + ok, all.failed + failed);
        (2..2000).find(|job| {
            row.failed(u64::from(*job), &mut all);
            row.is_broken(RecycleFailures::Auto, all)
        })
    }

    #[test]
    fn the_more_others_succeed_the_fewer_failures_are_needed() {
        assert_eq!(needed(0, 0, 0), Some(14));
        assert_eq!(needed(3, 0, 0), Some(6));
        assert_eq!(needed(1000, 0, 0), Some(3));
        assert_eq!(needed(100, 10, 0), Some(4));
        assert_eq!(needed(0, 3, 0), Some(42));
        assert!(needed(0, 30, 0) > Some(250));
    }

    #[test]
    fn replacements_in_vain_make_the_next_one_rare() {
        assert_eq!((needed(0, 0, 1), needed(0, 0, 3)), (Some(28), Some(112)));
        assert_eq!(needed(0, 0, 40), None);
    }

    #[test]
    fn attempts_of_one_job_are_one_failure() {
        let (mut all, mut row) = (Health::default(), FailureRow::default());
        (0..100).for_each(|_| row.failed(7, &mut all));
        assert_eq!((row.jobs(), all.failed), (1, 1));
        assert!(!row.is_broken(RecycleFailures::After(2), all));
    }
}
