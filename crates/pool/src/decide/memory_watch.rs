//! When is a worker's memory looked at? When it could have reached its limit, and no sooner: so
//! those far from theirs cost next to nothing.

use std::time::Duration;

use super::input::{MemorySample, Tick};
use crate::event::WorkerId;

/// No worker grows faster, in bytes a second: 6 GiB, what two cores write to fresh pages.
const GROWTH: u64 = 6 << 30;
/// Nor is a look sooner worth it: 12 MiB may come in between.
const LOOK_AFTER_MIN: Duration = Duration::from_millis(2);
/// In the long run looking takes no more than one part in so many of the time, however many are near
/// their limit.
const COST_SHARE: u32 = 25;
/// For those far from theirs, with half of it left, one part in so many has to do where there are
/// many: each of them then grows by its share of what all write together.
const COST_SHARE_FAR: u32 = 120;
/// But they wait no longer than this for it.
const PAUSE_MAX: Duration = Duration::from_millis(700);
/// But so much at once: who rushes towards his limit is to be caught.
const COST_AT_ONCE: Duration = Duration::from_millis(50);

/// Watches over the memory of workers.
#[derive(Debug)]
pub(super) struct MemoryWatch {
    /// What a worker may hold, with all that descends from it, in bytes.
    limit: u64,
    watched: Vec<Watched>,
    /// What a look at one costs.
    each: Duration,
    /// What looking has cost lately.
    cost: Duration,
    /// As of then.
    cost_at: Tick,
}

#[derive(Debug)]
struct Watched {
    worker: WorkerId,
    /// When to look; `None` while it is being looked at.
    due: Option<Tick>,
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

    /// A worker's program runs.
    pub(super) fn begin(&mut self, worker: WorkerId, now: Tick) {
        let due = Some(self.next_look(0, now));
        self.watched.push(Watched { worker, due });
    }

    pub(super) fn end(&mut self, worker: WorkerId) {
        self.watched.retain(|watched| watched.worker != worker);
    }

    /// When it is time for a look.
    pub(super) fn deadline(&self) -> Option<Tick> {
        let due = self.watched.iter().filter_map(|watched| watched.due).min()?;
        Some(due.max(self.rests_until()))
    }

    /// Those to be looked at now.
    pub(super) fn take_due(&mut self, now: Tick) -> Vec<WorkerId> {
        if self.rests_until() > now {
            return Vec::new();
        }
        let due = self.watched.iter_mut().filter(|watched| watched.due.is_some_and(|at| at <= now));
        due.map(|watched| {
            watched.due = None;
            watched.worker
        })
        .collect()
    }

    /// They were looked at, which took so long; those that hold too much, and how much.
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
        for (worker, weight) in samples {
            let due = Some(self.next_look(weight.held_bytes(), now));
            if let Some(watched) = self.watched.iter_mut().find(|known| known.worker == *worker) {
                watched.due = due;
            }
        }
        let held = samples.iter().map(|(worker, weight)| (*worker, weight.held_bytes()));
        held.filter(|(_, held)| *held > self.limit).collect()
    }

    /// No look before this: the last ones were dear.
    fn rests_until(&self) -> Tick {
        self.cost_at + self.cost.saturating_sub(COST_AT_ONCE) * COST_SHARE
    }

    /// When who holds so much could reach the limit. Moments are shared, so that many are looked at
    /// together: each comes a little sooner than it must.
    fn next_look(&self, held: u64, now: Tick) -> Tick {
        let room = u128::from(self.limit.saturating_sub(held));
        let growing = room * 1_000_000 / u128::from(GROWTH);
        let growing = Duration::from_micros(u64::try_from(growing).unwrap_or(u64::MAX));
        let is_far = held <= self.limit / 2;
        let count = u32::try_from(self.watched.len()).unwrap_or(u32::MAX);
        let pause = self.each.saturating_mul(COST_SHARE_FAR).saturating_mul(count).min(PAUSE_MAX);
        let together = growing.saturating_mul(count);
        let after = if is_far { growing.max(pause.min(together)) } else { growing };
        let after = after.clamp(LOOK_AFTER_MIN, Duration::from_secs(60));
        let grid = (after.as_millis() / 8).next_power_of_two() / 2;
        let at = (now + after).as_millis();
        let shared = at.checked_div(grid).map_or(at, |nth| nth * grid);
        let shared = Duration::from_millis(u64::try_from(shared).unwrap_or(u64::MAX));
        shared.max(now + LOOK_AFTER_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;
    const W1: WorkerId = WorkerId { slot: 1, generation: 1 };
    const W2: WorkerId = WorkerId { slot: 2, generation: 1 };

    fn weight(mib: u64) -> MemorySample {
        MemorySample { resident_bytes: mib * MIB, proportional_bytes: None }
    }

    #[test]
    fn the_next_look_comes_before_the_limit_can_be_reached() {
        for limit in [1, 64, 1024, 64 << 10] {
            for held in [0, 1, limit / 2, limit] {
                for now in [0, 7, 1001] {
                    let (now, mut watch) =
                        (Duration::from_millis(now), MemoryWatch::new(limit * MIB));
                    watch.begin(W1, now);
                    watch.sampled(&[(W1, weight(held))], Duration::ZERO, now);
                    let after = watch.deadline().unwrap() - now;
                    let reached = Duration::from_secs_f64((limit - held) as f64 / 6144.0);
                    let reached = reached.clamp(LOOK_AFTER_MIN, Duration::from_secs(60));
                    assert!(
                        after <= reached && after >= reached * 6 / 8,
                        "{limit} {held} {after:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn those_alike_are_looked_at_together_and_each_once() {
        let mut watch = MemoryWatch::new(1024 * MIB);
        watch.begin(W1, Duration::from_millis(3));
        watch.begin(W2, Duration::from_millis(9));
        let due = watch.deadline().unwrap();
        assert_eq!(watch.take_due(due), [W1, W2]);
        assert_eq!((watch.take_due(due), watch.deadline()), (vec![], None));
        watch.end(W2);
        let over = watch.sampled(&[(W1, weight(1025)), (W2, weight(3))], Duration::ZERO, due);
        assert_eq!(over, [(W1, 1025 * MIB)]);
    }

    #[test]
    fn dear_looks_are_followed_by_a_rest() {
        let mut watch = MemoryWatch::new(MIB);
        watch.begin(W1, Duration::ZERO);
        let mut now = Duration::ZERO;
        let mut look = |took_ms| {
            now = watch.deadline().unwrap();
            assert_eq!(watch.take_due(now), [W1]);
            watch.sampled(&[(W1, weight(1))], Duration::from_millis(took_ms), now);
            watch.deadline().unwrap() - now
        };
        for _ in 0..5 {
            assert_eq!(look(10), LOOK_AFTER_MIN);
        }
        // Of the ten milliseconds meanwhile one part in 25 was ours: 0.4 ms are forgiven.
        assert_eq!(look(4), Duration::from_millis(90));
        assert_eq!(look(2), Duration::from_millis(50));
    }

    #[test]
    fn one_alone_is_not_left_to_itself_however_dear_looks_are() {
        let mut watch =
            MemoryWatch { each: Duration::from_millis(5), ..MemoryWatch::new(1024 * MIB) };
        let reached = Duration::from_secs_f64(1024.0 / 6144.0);
        watch.begin(W1, Duration::ZERO);
        assert!(watch.next_look(0, Duration::ZERO) <= reached);
        for slot in 2..=512 {
            watch.begin(WorkerId { slot, generation: 1 }, Duration::ZERO);
        }
        assert!(watch.next_look(0, Duration::ZERO) >= PAUSE_MAX * 6 / 8);
    }

    #[test]
    fn what_is_shared_counts_once() {
        let shared = MemorySample { resident_bytes: 9 * MIB, proportional_bytes: Some(MIB) };
        assert_eq!(shared.held_bytes(), MIB);
    }
}
