//! How many jobs shall be sent to a worker at a time? As many as it does in about a millisecond:
//! short jobs stream, and behind a long one hardly any wait.

use std::time::Duration;

use crate::rules::Depth;

/// The work that may wait in a worker.
const AHEAD: Duration = Duration::from_millis(1);

/// Whoever printed is likely to print again within so many jobs.
const APART_BATCHES: u32 = 64;

/// The depth of one worker, as it adapts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Prefetch {
    /// How long a job takes, on average of late.
    service_ns: u64,
    depth: u32,
    /// For so many batches one at a time, whatever they take.
    apart: u32,
}

impl Default for Prefetch {
    fn default() -> Self {
        Self { service_ns: 0, depth: 1, apart: 0 }
    }
}

impl Prefetch {
    /// How many jobs the worker may have in hand.
    pub(super) fn depth(self, wanted: Depth) -> u32 {
        match wanted {
            Depth::Auto | Depth::Ahead if self.apart > 0 => 1,
            Depth::Auto => self.depth,
            Depth::Ahead => self.depth.max(2),
            Depth::Fixed(depth) => depth,
        }
    }

    /// One at a time for a while, unless another depth is asked for.
    pub(super) fn keep_apart(&mut self) {
        self.apart = APART_BATCHES;
    }

    /// Learns from so many jobs that took so long together.
    ///
    /// Longer jobs count at once, and shorter ones by and by: what is sent too far ahead must be
    /// recalled, what is not costs a little idling.
    pub(super) fn learn(&mut self, jobs: u64, service_ns: u64) {
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
        let fits = u32::try_from(fits).unwrap_or(u32::MAX).clamp(1, Depth::MAX);
        self.depth = fits.min(self.depth.saturating_mul(2));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn depth_after(batches: &[(u64, u64)]) -> u32 {
        let mut depth = Prefetch::default();
        batches.iter().for_each(|(jobs, each_us)| depth.learn(*jobs, jobs * each_us * 1000));
        depth.depth(Depth::Auto)
    }

    #[test]
    fn it_grows_for_short_jobs_and_shrinks_at_once_for_long_ones() {
        assert_eq!(depth_after(&[]), 1);
        assert_eq!(depth_after(&[(1, 1); 3]), 8);
        assert_eq!(depth_after(&[(1, 0); 20]), Depth::MAX);
        assert_eq!(depth_after(&[(10, 100); 20]), 10);
        assert_eq!(depth_after(&[(1, 2000); 9]), 1);
        let mut mixed = vec![(100, 1); 12];
        mixed.push((1, 5000));
        assert_eq!(depth_after(&mixed), 1);
    }

    #[test]
    fn who_prints_has_one_job_at_a_time_for_a_while() {
        let mut depth = Prefetch::default();
        (0..20).for_each(|_| depth.learn(100, 1000));
        assert_eq!(depth.depth(Depth::Auto), Depth::MAX);
        depth.keep_apart();
        (1..APART_BATCHES).for_each(|_| depth.learn(1, 10));
        assert_eq!((depth.depth(Depth::Auto), depth.depth(Depth::Fixed(7))), (1, 7));
        depth.learn(1, 10);
        assert_eq!(depth.depth(Depth::Auto), Depth::MAX);
    }

    #[test]
    fn a_fixed_depth_stays() {
        let mut depth = Prefetch::default();
        depth.learn(1, 5_000_000_000);
        assert_eq!(depth.depth(Depth::Fixed(16)), 16);
    }
}
