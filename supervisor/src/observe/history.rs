//! Samples of a run's counters: one per second for the last ten minutes, and for the whole run at an
//! interval that doubles when there are too many samples. The memory is bounded however long the
//! run is.

use std::{collections::VecDeque, time::Duration};

/// The counters at one moment. They only grow; rates are differences of two samples.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Sample {
    /// The time of the sample, since the run began.
    pub at: Duration,
    /// Jobs that were done, well or not; not those that were not run.
    pub settled: u64,
    /// Jobs that failed or crashed.
    pub failed: u64,
    /// Resident memory of all workers, in bytes; `None` if no observer had it measured.
    pub memory_bytes: Option<u64>,
}

const FINE: Duration = Duration::from_secs(1);
const FINE_MAX: usize = 600;
const COARSE: Duration = Duration::from_secs(10);
const COARSE_MAX: usize = 1200;

/// The samples of a run.
#[derive(Clone, Debug)]
pub struct History {
    fine: Samples,
    coarse: Samples,
}

#[derive(Clone, Debug)]
struct Samples {
    width: Duration,
    due: Duration,
    list: VecDeque<Sample>,
}

impl Default for History {
    fn default() -> Self {
        let samples = |width| Samples { width, due: width, list: VecDeque::new() };
        Self { fine: samples(FINE), coarse: samples(COARSE) }
    }
}

impl History {
    /// Whether a sample is due.
    #[must_use]
    pub fn is_due(&self, now: Duration) -> bool {
        now >= self.fine.due
    }

    /// Adds a sample if one is due. `before` has the counters as they were until now.
    pub fn sample(&mut self, now: Duration, before: Sample) {
        if !self.is_due(now) {
            return;
        }
        self.fine.catch_up(now, before);
        let excess = self.fine.list.len().saturating_sub(FINE_MAX);
        self.fine.list.drain(..excess);
        if now < self.coarse.due {
            return;
        }
        self.coarse.catch_up(now, before);
        while self.coarse.list.len() > COARSE_MAX {
            self.coarse.halve();
        }
    }

    /// All samples, oldest first: coarse ones up to the first fine one.
    pub fn samples(&self) -> impl Iterator<Item = Sample> {
        let from = self.fine.list.front().map_or(Duration::MAX, |sample| sample.at);
        let coarse = self.coarse.list.iter().take_while(move |sample| sample.at < from);
        coarse.chain(&self.fine.list).copied()
    }
}

impl Samples {
    /// Adds a sample for the last interval that is over. In the intervals before it nothing changed,
    /// which one sample at the end of the first of them shows.
    fn catch_up(&mut self, now: Duration, before: Sample) {
        self.list.push_back(Sample { at: self.due, ..before });
        let missed = (now - self.due).as_nanos() / self.width.as_nanos();
        let last = self.due + self.width * u32::try_from(missed).unwrap_or(u32::MAX);
        if missed > 0 {
            self.list.push_back(Sample { at: last, ..before });
        }
        self.due = last + self.width;
    }

    /// Drops every other sample and doubles the interval.
    fn halve(&mut self) {
        self.width *= 2;
        let mut nth = 0;
        self.list.retain(|_| {
            nth += 1;
            nth % 2 == 0
        });
        let last = self.list.back().map_or(Duration::ZERO, |sample| sample.at);
        self.due = last + self.width;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    /// A run with one job a second.
    fn run(length: u64) -> Vec<Sample> {
        let mut history = History::default();
        for second in 1..=length {
            let before = Sample { settled: second - 1, ..Sample::default() };
            history.sample(seconds(second), before);
        }
        history.samples().collect()
    }

    #[test]
    fn ten_minutes_are_kept_by_the_second_and_the_rest_at_ten_seconds() {
        let samples = run(900);
        assert_eq!(samples.len(), 600 + 30);
        assert_eq!((samples[0].at, samples[1].at), (seconds(10), seconds(20)));
        assert_eq!(
            samples.last().unwrap(),
            &Sample { at: seconds(900), settled: 899, ..samples[0] }
        );
        assert!(samples.is_sorted_by_key(|sample| sample.at));
    }

    #[test]
    fn a_week_has_a_bounded_number_of_samples_from_its_start_on() {
        let samples = run(7 * 86_400);
        assert!(samples.len() <= FINE_MAX + COARSE_MAX, "{}", samples.len());
        assert!(samples.len() >= FINE_MAX + COARSE_MAX / 2 - 1, "{}", samples.len());
        assert!(samples[0].at < seconds(2000), "{:?}", samples[0]);
        assert!(samples.is_sorted_by_key(|sample| (sample.at, sample.settled)));
    }

    #[test]
    fn an_idle_hour_is_two_samples() {
        let mut history = History::default();
        history.sample(seconds(1), Sample { settled: 7, ..Sample::default() });
        history.sample(seconds(3600), Sample { settled: 8, ..Sample::default() });
        let samples: Vec<_> = history.samples().map(|s| (s.at.as_secs(), s.settled)).collect();
        assert_eq!(samples, [(1, 7), (2, 8), (3600, 8)]);
        assert!(!history.is_due(seconds(3600)) && history.is_due(seconds(3601)));
    }
}
