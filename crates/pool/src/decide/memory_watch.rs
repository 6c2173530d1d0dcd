//! Decides when the memory of each worker is sampled: when the worker could have reached its limit
//! at the earliest. Workers far from their limit are sampled seldom, so that they cost little.
//!
//! # The rule
//!
//! A worker that holds `held` of `limit` bytes cannot reach the limit before
//!
//! ```text
//! safe = (limit - held) / GROWTH            GROWTH = 6 GiB/s
//! ```
//!
//! so its next sample comes after `safe`, at least 2 ms and at most 60 s later. Two rules limit the
//! processor time of sampling. In them, `each` is the time that the last sample took per worker,
//! and `n` is the number of workers.
//!
//! - A worker that holds at most half of its limit may be sampled later than after `safe`. All
//!   workers share the memory bandwidth, so if all grow, each grows by `GROWTH / n`. Its next
//!   sample comes after `max(safe, min(n * safe, 120 * n * each, 700 ms))`. Samples of such workers
//!   thus take at most 1/120 of the time of one processor, unless 700 ms is the shorter interval.
//! - `cost` is a budget account: each sample adds the time that it took, and elapsed time divided
//!   by 25 is subtracted. While `cost` is above 50 ms, no sample is taken until `25 * (cost - 50
//!   ms)` after the last one. Samples thus take at most 1/25 of the time in the long run, with
//!   bursts of up to 50 ms.
//!
//! A sample may be doubtful, because the processes did not rest while they were read. It is repeated
//! after 2 ms, whatever the account says. Of five doubtful samples in a row the majority is believed,
//! so that processes which never rest gain the time of four samples and no more.
//!
//! Finally, the time of the sample is rounded down to a multiple of 1/16 to 1/8 of the interval, so
//! that workers with similar intervals are sampled together.
//!
//! # An example
//!
//! A hundred workers have a limit of 6 GiB each and hold 1.5 GiB; a sample of one takes 50 us.
//! `safe` is 4.5 / 6 s = 750 ms, which is more than 120 * 100 * 50 us = 600 ms, so each is sampled
//! every 750 ms (rounded to 64 ms), which costs 100 * 50 us / 750 ms = 0.7 % of a processor. A
//! worker that grows to 5.4 GiB needs at least 0.6 / 6 s = 100 ms to reach the limit, and is
//! sampled after that; at 5.97 GiB, after 5 ms. With a limit of 1 GiB, `safe` of an idle worker is
//! 167 ms; but it is far from its limit, so it is sampled every 600 ms instead.

use std::{mem, time::Duration};

use super::input::{MemorySample, Tick};
use crate::event::WorkerId;

/// The highest growth of memory, in bytes per second: what two cores can write to fresh pages.
const GROWTH: u64 = 6 << 30;
/// Minimum interval between two samples of a worker, in which it can grow by about 12 MiB.
const INTERVAL_MIN: Duration = Duration::from_millis(2);
/// Maximum interval between two samples of a worker.
const INTERVAL_MAX: Duration = Duration::from_secs(60);
/// Cost budget: in the long run, samples take at most 1 / `COST_SHARE` of the time.
const COST_SHARE: u32 = 25;
/// Cost budget for workers that hold at most half of their limit: 1 / `COST_SHARE_FAR` of the time.
const COST_SHARE_FAR: u32 = 120;
/// The longest interval that the cost budget for such workers may enforce.
const FAR_INTERVAL_MAX: Duration = Duration::from_millis(700);
/// Allowed burst above the cost budget, so that a worker that allocates fast is sampled in time.
const COST_AT_ONCE: Duration = Duration::from_millis(50);

/// The number of doubtful samples in a row that are not believed.
pub(super) const DOUBTS_MAX: u32 = 4;

/// Decides when the memory of workers is sampled.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    /// The most memory that a worker and all processes below it may hold, in bytes.
    limit: u64,
    watched: Vec<Watched>,
    /// The processor time per worker of the last samples.
    each: Duration,
    /// The budget account as of `cost_at`: the cost of samples so far, less the budget of the time
    /// that has passed.
    cost: Duration,
    cost_at: Tick,
}

#[derive(Debug)]
struct Watched {
    worker: WorkerId,
    /// When to take the next sample; `None` while one is being taken.
    due: Option<Tick>,
    /// The number of doubtful samples in a row that were not believed.
    doubts: u32,
    /// The number of them that were above the limit.
    doubts_over: u32,
}

impl Watched {
    /// Takes a sample. Returns whether the worker holds more than the limit for certain, as far as
    /// anything is certain of processes that never rest.
    fn is_over(&mut self, sample: MemorySample, limit: u64) -> bool {
        let is_over = sample.bytes() > limit;
        if let MemorySample::Doubtful(_) = sample {
            self.doubts += 1;
            self.doubts_over += u32::from(is_over);
            if self.doubts <= DOUBTS_MAX {
                return false;
            }
        }
        let (doubts, over) = (mem::take(&mut self.doubts), mem::take(&mut self.doubts_over));
        match sample {
            MemorySample::Held(_) => is_over,
            MemorySample::Doubtful(_) => over * 2 > doubts,
        }
    }

    /// When the next sample is due, while no sample is taken before `rests_until` but those that
    /// repeat a doubtful one.
    fn due(&self, rests_until: Tick) -> Option<Tick> {
        self.due.map(|at| if self.doubts > 0 { at } else { at.max(rests_until) })
    }
}

impl MemoryWatch {
    pub(super) fn new(limit: u64) -> Self {
        Self {
            limit,
            watched: Vec::new(),
            each: Duration::ZERO,
            cost: Duration::ZERO,
            cost_at: Tick::ZERO,
        }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    /// Watches a worker, whose program was executed.
    pub(super) fn begin(&mut self, worker: WorkerId, now: Tick) {
        let due = Some(self.next_sample(0, now));
        self.watched.push(Watched { worker, due, doubts: 0, doubts_over: 0 });
    }

    /// Stops watching a worker, which is gone.
    pub(super) fn end(&mut self, worker: WorkerId) {
        self.watched.retain(|watched| watched.worker != worker);
    }

    /// When the next samples are due.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let rests_until = self.rests_until();
        self.watched.iter().filter_map(|watched| watched.due(rests_until)).min()
    }

    /// Returns the workers whose samples are due, and marks them as being sampled.
    pub(super) fn take_due(&mut self, now: Tick) -> Vec<WorkerId> {
        let rests_until = self.rests_until();
        let is_due = |watched: &&mut Watched| watched.due(rests_until).is_some_and(|at| at <= now);
        let due = self.watched.iter_mut().filter(is_due);
        due.map(|watched| {
            watched.due = None;
            watched.worker
        })
        .collect()
    }

    /// Takes samples and the processor time that they took. Returns the workers that hold more than
    /// the limit, and the number of bytes that each holds.
    pub(super) fn sampled(
        &mut self,
        samples: &[(WorkerId, MemorySample)],
        took: Duration,
        now: Tick,
    ) -> Vec<(WorkerId, u64)> {
        let since = now.saturating_sub(self.cost_at);
        self.cost = self.cost.saturating_sub(since / COST_SHARE) + took;
        self.cost_at = now;
        self.each = took / u32::try_from(samples.len()).unwrap_or(u32::MAX).max(1);
        let mut over = Vec::new();
        for (worker, sample) in samples {
            let due = self.next_sample(sample.bytes(), now);
            let Some(watched) = self.watched.iter_mut().find(|known| known.worker == *worker)
            else {
                continue;
            };
            watched.due = Some(due);
            if watched.is_over(*sample, self.limit) {
                over.push((*worker, sample.bytes().max(self.limit)));
            }
        }
        over
    }

    /// Whether a worker that holds this number of bytes is so close to the limit that it may fail for
    /// want of memory. A failed allocation does not add to what it holds.
    pub(super) fn is_near(&self, held: u64) -> bool {
        held >= self.limit / 8 * 7
    }

    /// Samples a worker as soon as the cost budget allows, because it fails jobs.
    pub(super) fn hurry(&mut self, worker: WorkerId, now: Tick) {
        let mut watched = self.watched.iter_mut();
        if let Some(watched) = watched.find(|watched| watched.worker == worker)
            && let Some(due) = &mut watched.due
        {
            *due = now.min(*due);
        }
    }

    /// When sampling is within its cost budget again; no sample is taken before.
    fn rests_until(&self) -> Tick {
        self.cost_at + self.cost.saturating_sub(COST_AT_ONCE) * COST_SHARE
    }

    /// When to sample a worker that holds `held` bytes, by the rule in the module documentation.
    fn next_sample(&self, held: u64, now: Tick) -> Tick {
        let room = u128::from(self.limit.saturating_sub(held));
        let safe = room * 1_000_000 / u128::from(GROWTH);
        let safe = Duration::from_micros(u64::try_from(safe).unwrap_or(u64::MAX));
        let is_far = held <= self.limit / 2;
        let count = u32::try_from(self.watched.len()).unwrap_or(u32::MAX);
        let cheap = self.each.saturating_mul(COST_SHARE_FAR).saturating_mul(count);
        let cheap = cheap.min(FAR_INTERVAL_MAX).min(safe.saturating_mul(count));
        let interval = if is_far { safe.max(cheap) } else { safe };
        let interval = interval.clamp(INTERVAL_MIN, INTERVAL_MAX);
        let grid = (interval.as_millis() / 8).next_power_of_two() / 2;
        let at = (now + interval).as_millis();
        let shared = at.checked_div(grid).map_or(at, |nth| nth * grid);
        let shared = Duration::from_millis(u64::try_from(shared).unwrap_or(u64::MAX));
        shared.max(now + INTERVAL_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const W1: WorkerId = WorkerId { slot: 1, generation: 1 };
    const W2: WorkerId = WorkerId { slot: 2, generation: 1 };

    fn holding(mib: u64) -> MemorySample {
        MemorySample::Held(mib * MIB)
    }

    #[test]
    fn the_next_sample_comes_before_the_limit_can_be_reached() {
        for limit in [1, 64, 1024, 64 << 10] {
            for held in [0, 1, limit / 2, limit] {
                for now in [0, 7, 1001] {
                    let (now, mut watch) =
                        (Duration::from_millis(now), MemoryWatch::new(limit * MIB));
                    watch.begin(W1, now);
                    watch.sampled(&[(W1, holding(held))], Duration::ZERO, now);
                    let after = watch.deadline().unwrap() - now;
                    let reached = Duration::from_secs_f64((limit - held) as f64 / 6144.0);
                    let reached = reached.clamp(INTERVAL_MIN, Duration::from_secs(60));
                    assert!(
                        after <= reached && after >= reached * 6 / 8,
                        "{limit} {held} {after:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn workers_that_are_alike_are_sampled_together_and_once() {
        let mut watch = MemoryWatch::new(1024 * MIB);
        watch.begin(W1, Duration::from_millis(3));
        watch.begin(W2, Duration::from_millis(9));
        let due = watch.deadline().unwrap();
        assert_eq!(watch.take_due(due), [W1, W2]);
        assert_eq!((watch.take_due(due), watch.deadline()), (vec![], None));
        watch.end(W2);
        let over = watch.sampled(&[(W1, holding(1025)), (W2, holding(3))], Duration::ZERO, due);
        assert_eq!(over, [(W1, 1025 * MIB)]);
    }

    #[test]
    fn expensive_samples_are_followed_by_a_rest() {
        let mut watch = MemoryWatch::new(MIB);
        watch.begin(W1, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut sample = |took_ms| {
            now = watch.deadline().unwrap();
            assert_eq!(watch.take_due(now), [W1]);
            watch.sampled(&[(W1, holding(1))], Duration::from_millis(took_ms), now);
            watch.deadline().unwrap() - now
        };
        for _ in 0..5 {
            assert_eq!(sample(10), INTERVAL_MIN);
        }
        // 10 ms have passed, which pays for 10 / 25 = 0.4 ms of the cost.
        assert_eq!(sample(4), Duration::from_millis(90));
        assert_eq!(sample(2), Duration::from_millis(50));
    }

    #[test]
    fn a_single_worker_is_sampled_in_time_however_expensive_that_is() {
        let mut watch =
            MemoryWatch { each: Duration::from_millis(5), ..MemoryWatch::new(1024 * MIB) };
        let reached = Duration::from_secs_f64(1024.0 / 6144.0);
        watch.begin(W1, Duration::ZERO);
        assert!(watch.next_sample(0, Duration::ZERO) <= reached);
        for slot in 2..=512 {
            watch.begin(WorkerId { slot, generation: 1 }, Duration::ZERO);
        }
        assert!(watch.next_sample(0, Duration::ZERO) >= FAR_INTERVAL_MAX * 6 / 8);
    }

    #[test]
    fn doubt_delays_the_verdict_by_four_samples_and_no_more() {
        let mut watch = MemoryWatch::new(MIB);
        watch.begin(W1, Duration::ZERO);
        let doubtful = MemorySample::Doubtful(3 * MIB);
        // An expensive sample exhausts the budget, for the others but not for the repetitions.
        let took = Duration::from_secs(1);
        for _ in 0..2 {
            let mut now = watch.deadline().unwrap();
            for nth in 1..=5 {
                assert_eq!(watch.take_due(now), [W1]);
                let over = watch.sampled(&[(W1, doubtful)], took, now);
                assert_eq!(over, if nth < 5 { vec![] } else { vec![(W1, 3 * MIB)] });
                if nth < 5 {
                    assert_eq!(watch.deadline(), Some(now + INTERVAL_MIN));
                    now += INTERVAL_MIN;
                }
            }
            assert!(watch.deadline().unwrap() > now + took, "the repetitions are paid for");
        }
        // A sample that is certain ends the doubt.
        let mut now = watch.deadline().unwrap();
        for nth in 1..=20 {
            assert_eq!(watch.take_due(now), [W1]);
            let sample = if nth % 4 == 0 { holding(1) } else { doubtful };
            assert_eq!(watch.sampled(&[(W1, sample)], Duration::ZERO, now), []);
            now = watch.deadline().unwrap();
        }
    }

    #[test]
    fn the_majority_of_five_doubtful_samples_is_believed() {
        let over_limit = |over: u32| {
            let mut watch = MemoryWatch::new(2 * MIB);
            watch.begin(W1, Duration::ZERO);
            let found = (0..5).map(|nth| {
                let now = watch.deadline().unwrap();
                assert_eq!(watch.take_due(now), [W1]);
                // The last one is below the limit.
                let bytes = if nth < over { 3 * MIB } else { MIB };
                watch.sampled(&[(W1, MemorySample::Doubtful(bytes))], Duration::ZERO, now).len()
            });
            found.sum::<usize>()
        };
        assert_eq!([0, 2, 3, 4].map(over_limit), [0, 0, 1, 1]);
    }

    #[test]
    fn a_doubtful_worker_does_not_hasten_the_samples_of_others() {
        let mut watch = MemoryWatch::new(MIB);
        watch.begin(W1, Duration::ZERO);
        watch.begin(W2, Duration::ZERO);
        let now = watch.deadline().unwrap();
        assert_eq!(watch.take_due(now), [W1, W2]);
        let samples = [(W1, MemorySample::Doubtful(2 * MIB)), (W2, holding(1))];
        assert_eq!(watch.sampled(&samples, Duration::from_secs(1), now), []);
        let now = watch.deadline().unwrap();
        assert_eq!(watch.take_due(now), [W1]);
    }
}
