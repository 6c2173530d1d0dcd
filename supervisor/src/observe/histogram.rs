//! How long did attempts take? A histogram of durations, each bucket an eighth of an octave wide,
//! so that to count one is a few instructions and no figure is off by more than an eighth.

use std::time::Duration;

/// Buckets of an octave, as a power of two.
const SHARE_BITS: u32 = 3;
const SHARES: u64 = 1 << SHARE_BITS;
/// For every number of nanoseconds there is.
const BUCKETS: usize = ((u64::BITS - SHARE_BITS + 1) << SHARE_BITS) as usize;

/// Durations, counted.
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
    /// Counts one.
    pub fn add(&mut self, took: Duration) {
        let ns = took.as_secs().saturating_mul(1_000_000_000);
        let ns = ns.saturating_add(took.subsec_nanos().into());
        self.buckets[bucket(ns)] += 1;
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(ns);
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Their sum.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns)
    }

    /// How many are shorter than so many nanoseconds; exact where that is a power of two.
    #[must_use]
    pub fn below(&self, ns: u64) -> u64 {
        self.buckets[..bucket(ns)].iter().sum()
    }

    /// The duration that this share of them does not exceed, in thousandths; `None` where there
    /// are none.
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

/// Which bucket counts this many nanoseconds. The first sixteen are a nanosecond wide.
fn bucket(ns: u64) -> usize {
    let octave = (ns | SHARES).ilog2() - SHARE_BITS;
    #[expect(clippy::cast_possible_truncation, reason = "less than BUCKETS")]
    let index = (u64::from(octave) * SHARES + (ns >> octave)) as usize;
    index
}

/// The middle of what a bucket counts.
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
    fn nothing_has_no_quantile_and_the_longest_has_a_place() {
        let mut times = Histogram::default();
        assert_eq!(times.quantile(500), None);
        times.add(Duration::MAX);
        assert_eq!((times.count(), bucket(u64::MAX)), (1, BUCKETS - 1));
        assert!(times.quantile(500) > Some(Duration::from_nanos(u64::MAX / 2)));
    }

    #[test]
    fn powers_of_two_part_the_buckets() {
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
            let told = middle(bucket(ns));
            prop_assert!(told.abs_diff(ns) <= ns / 8, "{ns} is told as {told}");
        }

        #[test]
        fn quantiles_come_in_order(mut times in prop::collection::vec(0u64..1 << 40, 1..200)) {
            let mut all = Histogram::default();
            times.iter().for_each(|ns| all.add(Duration::from_nanos(*ns)));
            times.sort_unstable();
            for permille in [1, 250, 500, 900, 990, 1000] {
                let exact = times[(times.len() * permille).div_ceil(1000) - 1];
                let told = all.quantile(permille as u64).unwrap();
                let told = u64::try_from(told.as_nanos()).unwrap();
                prop_assert!(told.abs_diff(exact) <= exact / 8, "{permille}: {exact}, {told}");
            }
        }
    }
}
