//! Adapts the prefetch: the number of jobs that a worker may have in flight. It is the number that
//! the worker does in about a millisecond, so that short jobs stream, and few wait behind a long
//! one.

use std::time::Duration;

use crate::rules::Prefetch;

/// The amount of work that a worker may have in flight.
const AHEAD: Duration = Duration::from_millis(1);

/// The number of batches of replies for which a worker that printed gets one job at a time. It is
/// likely to print again.
const APART_BATCHES: u32 = 64;

/// The prefetch of one worker, as it adapts.
#[derive(Clone, Copy, Debug)]
pub(super) struct AdaptivePrefetch {
    /// How long a job takes, as a moving average in nanoseconds.
    service_ns: u64,
    jobs: u32,
    /// The number of further batches for which the worker gets one job at a time.
    apart: u32,
}

impl Default for AdaptivePrefetch {
    fn default() -> Self {
        Self { service_ns: 0, jobs: 1, apart: 0 }
    }
}

impl AdaptivePrefetch {
    /// The number of jobs that the worker may have in flight.
    pub(super) fn jobs(self, wanted: Prefetch) -> u32 {
        match wanted {
            Prefetch::Auto | Prefetch::Ahead if self.apart > 0 => 1,
            Prefetch::Auto => self.jobs,
            Prefetch::Ahead => self.jobs.max(2),
            Prefetch::Fixed(jobs) => jobs,
        }
    }

    /// The worker gets one job at a time for a while, unless a fixed number is asked for.
    pub(super) fn keep_apart(&mut self) {
        self.apart = APART_BATCHES;
    }

    /// Learns from a batch of jobs that took this long together. The number of jobs grows only if
    /// the worker `may_grow`.
    ///
    /// A longer mean counts at once, a shorter one gradually: too many jobs in flight must be
    /// retracted, while too few only cost a little idle time.
    pub(super) fn learn(&mut self, jobs: u64, service_ns: u64, may_grow: bool) {
        if jobs == 0 {
            return;
        }
        self.apart = self.apart.saturating_sub(1);
        let mean = service_ns / jobs;
        self.service_ns = match self.service_ns {
            0 => mean,
            known if mean >= known => mean,
            known => (known * 3 + mean) / 4,
        };
        let fits = u64::try_from(AHEAD.as_nanos()).unwrap_or(u64::MAX) / self.service_ns.max(1);
        let fits = u32::try_from(fits).unwrap_or(u32::MAX).clamp(1, Prefetch::MAX);
        self.jobs = fits.min(if may_grow { self.jobs.saturating_mul(2) } else { self.jobs });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jobs_after(batches: &[(u64, u64)]) -> u32 {
        let mut prefetch = AdaptivePrefetch::default();
        batches
            .iter()
            .for_each(|(jobs, each_us)| prefetch.learn(*jobs, jobs * each_us * 1000, true));
        prefetch.jobs(Prefetch::Auto)
    }

    #[test]
    fn it_grows_for_short_jobs_and_shrinks_at_once_for_long_ones() {
        assert_eq!(jobs_after(&[]), 1);
        assert_eq!(jobs_after(&[(1, 1); 3]), 8);
        assert_eq!(jobs_after(&[(1, 0); 20]), Prefetch::MAX);
        assert_eq!(jobs_after(&[(10, 100); 20]), 10);
        assert_eq!(jobs_after(&[(1, 2000); 9]), 1);
        let mut mixed = vec![(100, 1); 12];
        mixed.push((1, 5000));
        assert_eq!(jobs_after(&mixed), 1);
    }

    #[test]
    fn a_worker_that_prints_gets_one_job_at_a_time_for_a_while() {
        let mut prefetch = AdaptivePrefetch::default();
        (0..20).for_each(|_| prefetch.learn(100, 1000, true));
        assert_eq!(prefetch.jobs(Prefetch::Auto), Prefetch::MAX);
        prefetch.keep_apart();
        (1..APART_BATCHES).for_each(|_| prefetch.learn(1, 10, true));
        assert_eq!((prefetch.jobs(Prefetch::Auto), prefetch.jobs(Prefetch::Fixed(7))), (1, 7));
        prefetch.learn(1, 10, true);
        assert_eq!(prefetch.jobs(Prefetch::Auto), Prefetch::MAX);
    }

    #[test]
    fn a_fixed_prefetch_stays() {
        let mut prefetch = AdaptivePrefetch::default();
        prefetch.learn(1, 5_000_000_000, true);
        assert_eq!(prefetch.jobs(Prefetch::Fixed(16)), 16);
    }
}
