//! Computes rates per second from the samples of a snapshot, whose counters only grow.

use records::{Sample, Snapshot};

/// Number of seconds over which the shown rate is averaged.
const MEAN_SECONDS: usize = 5;

/// Returns the number of jobs that ended in each of the last whole seconds, in thousandths, oldest
/// first; fewer values if the run is younger.
pub(super) fn rates(snapshot: &Snapshot, seconds: usize) -> Vec<u64> {
    let jobs = &snapshot.jobs.tally;
    let now = (snapshot.at_ms.as_whole(), jobs.ok + jobs.not_ok());
    let of = |sample: &Sample| (sample.at_ms.as_whole(), sample.settled);
    let samples = snapshot.history.iter().map(of);
    let points: Vec<_> = [(0, 0)].into_iter().chain(samples).chain([now]).collect();
    let last = snapshot.at_ms.as_whole() / 1000;
    let first = last.saturating_sub(seconds as u64);
    let counts: Vec<u64> = (first..=last).map(|second| count(&points, second * 1000)).collect();
    counts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect()
}

/// Returns the mean rate of the last seconds, in thousandths of a job per second.
pub(super) fn mean(rates: &[u64]) -> u64 {
    let last = &rates[rates.len().saturating_sub(MEAN_SECONDS)..];
    last.iter().sum::<u64>() / last.len().max(1) as u64
}

/// Returns the counter at this time, in thousandths, interpolated linearly between two samples.
fn count(points: &[(u64, u64)], at_ms: u64) -> u64 {
    let after = points.partition_point(|point| point.0 <= at_ms);
    let before = points[..after].last().copied().unwrap_or_default();
    let Some(next) = points.get(after) else { return before.1.saturating_mul(1000) };
    let (grown, width) = (next.1.saturating_sub(before.1), next.0 - before.0);
    let part = u128::from(grown) * 1000 * u128::from(at_ms - before.0) / u128::from(width.max(1));
    before.1.saturating_mul(1000).saturating_add(u64::try_from(part).unwrap_or(u64::MAX))
}

/// Returns the memory of all workers in each of the last samples, in bytes.
pub(super) fn memory(snapshot: &Snapshot, samples: usize) -> Vec<u64> {
    let skipped = snapshot.history.len().saturating_sub(samples);
    snapshot.history[skipped..].iter().filter_map(|sample| sample.memory_bytes).collect()
}

/// Formats a rate: `7.6 M/s`, `812/s`, `0.3/s`.
pub(super) fn show(thousandths: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let rate = thousandths as f64 / 1000.0;
    match rate {
        rate if rate >= 1e6 => format!("{:.1} M/s", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.1} k/s", rate / 1e3),
        rate if rate >= 10.0 => format!("{rate:.0}/s"),
        rate => format!("{rate:.1}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::control::top::sample::{self, ms};

    fn sample(at_ms: u64, settled: u64) -> Sample {
        Sample { at_ms: ms(at_ms), settled, failed: 0, memory_bytes: None }
    }

    #[test]
    fn each_whole_second_has_the_jobs_that_ended_in_it() {
        let mut snapshot = sample::run(1);
        snapshot.at_ms = ms(5400);
        snapshot.jobs.tally.ok = 12;
        (snapshot.jobs.tally.failed, snapshot.jobs.tally.quarantined) = (0, 0);
        // In a second without a sample the counter did not change, or grew evenly up to the next.
        snapshot.history = vec![sample(1000, 4), sample(2000, 4), sample(4000, 10)];
        let all = [4000, 0, 3000, 3000, 1428];
        assert_eq!(rates(&snapshot, 100), all);
        assert_eq!(rates(&snapshot, 2), all[3..]);
        assert_eq!((mean(&all), mean(&[]), mean(&[500])), (2285, 0, 500));
    }

    #[test]
    fn counters_that_shrink_break_nothing() {
        let mut snapshot = sample::run(1);
        snapshot.at_ms = ms(2000);
        snapshot.history = vec![sample(9000, u64::MAX), sample(1000, 7), sample(1000, 3)];
        rates(&snapshot, 10);
        snapshot.at_ms = ms(0);
        assert_eq!(rates(&snapshot, 10), [0; 0]);
    }

    #[test]
    fn rates_have_three_digits_at_most() {
        let all = [0, 250, 9900, 812_000, 9_999_000, 76_500_000, 7_600_000_000].map(show);
        assert_eq!(all, ["0.0/s", "0.2/s", "9.9/s", "812/s", "9999/s", "76.5 k/s", "7.6 M/s"]);
    }
}
