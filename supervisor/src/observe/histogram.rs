//! A histogram of durations. Each bucket is an eighth of an octave wide, so that counting takes a
//! few instructions and no figure is off by more than an eighth.

use std::time::Duration;

/// The number of buckets per octave, as a power of two.
const SHARE_BITS: u32 = 3;
const SHARES: u64 = 1 << SHARE_BITS;
/// Enough buckets for every `u64` of nanoseconds.
const BUCKETS: usize = ((u64::BITS - SHARE_BITS + 1) << SHARE_BITS) as usize;

/// The number of durations in each bucket.
#[derive(Clone, Debug)]
pub struct Histogram {
    buckets: Box<[u64; BUCKETS]>,
    count: u64,
    sum_ns: u64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: Box::new([0; BUCKETS]), count: 0, sum_ns: 0 }
    }
}

impl Histogram {
    /// Counts a duration.
    pub fn add(&mut self, took: Duration) {
        let ns = took.as_secs().saturating_mul(1_000_000_000);
        let ns = ns.saturating_add(took.subsec_nanos().into());
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// The number of durations.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The sum of all durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// The number of durations below `ns` nanoseconds; exact if `ns` is a power of two.
    #[must_use]
    pub fn below(&self, ns: u64) -> u64 {
        self.buckets[..bucket(ns)].iter().sum()
    }

    /// The duration that this share of all durations, in thousandths, does not exceed; `None` if
    /// there are none.
    #[must_use]
    pub fn quantile(&self, permille: u64) -> Option<Duration> {
        let rank = u128::from(self.count) * u128::from(permille);
        let rank = u64::try_from(rank.div_ceil(1000)).unwrap_or(self.count).max(1);
        let mut seen = 0;
        let is_there = |count: &u64| {
            seen += count;
            seen >= rank
        };
        let bucket = self.buckets.iter().position(is_there)?;
        Some(Duration::from_nanos(middle(bucket)))
    }
}

/// The index of the bucket of `ns` nanoseconds. The first sixteen buckets are one nanosecond wide.
fn bucket(ns: u64) -> usize {
    let octave = (ns | SHARES).ilog2() - SHARE_BITS;
    #[expect(clippy::cast_possible_truncation, reason = "less than BUCKETS")]
    let index = (u64::from(octave) * SHARES + (ns >> octave)) as usize;
    index
}

/// The middle of a bucket, in nanoseconds.
fn middle(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let octave = (bucket / SHARES).saturating_sub(1);
    let low = (bucket - octave * SHARES) << octave;
    low + (1 << octave) / 2
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_histogram_has_no_quantile_and_the_longest_duration_has_a_bucket() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(500), None);
        times.add(Duration::MAX);
        assert_eq!((times.count(), bucket(u64::MAX)), (1, BUCKETS - 1));
        assert!(times.quantile(500) > Some(Duration::from_nanos(u64::MAX / 2)));
    }

    #[test]
    fn powers_of_two_are_boundaries_of_buckets() {
        let mut times = Histogram::default();
        for ns in [1023, 1024, 1025, 4095, 4096] {
            times.add(Duration::from_nanos(ns));
        }
        assert_eq!([1024, 2048, 4096, 1 << 40].map(|ns| times.below(ns)), [1, 3, 4, 5]);
        assert_eq!(times.sum(), Duration::from_nanos(1023 + 1024 + 1025 + 4095 + 4096));
    }

    proptest! {
        #[test]
        fn no_figure_is_off_by_more_than_an_eighth(ns in any::<u64>()) {
            let shown = middle(bucket(ns));
            prop_assert!(shown.abs_diff(ns) <= ns / 8, "{ns} is shown as {shown}");
        }

        #[test]
        fn quantiles_are_off_by_an_eighth_at_most(mut times in prop::collection::vec(0u64..1 << 40, 1..200)) {
            let mut all = Histogram::default();
            times.iter().for_each(|ns| all.add(Duration::from_nanos(*ns)));
            times.sort_unstable();
            for permille in [1, 250, 500, 900, 990, 1000] {
                let exact = times[(times.len() * permille).div_ceil(1000) - 1];
                let shown = all.quantile(permille as u64).unwrap();
                let shown = u64::try_from(shown.as_nanos()).unwrap();
                prop_assert!(shown.abs_diff(exact) <= exact / 8, "{permille}: {exact}, {shown}");
            }
        }
    }
}
