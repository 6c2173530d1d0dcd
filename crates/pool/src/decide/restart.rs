//! Decides when a slot whose worker ended gets another one: at once, after a back-off, or never.
//!
//! An early death is the end of a worker within a second of its execution without having done a
//! job, or before its execution; without jobs, its end before it was ready. A worker that died
//! later is replaced at once. After an early death the slot
//! backs off: 100 ms the first time, doubled each time up to 30 s, with 20 % jitter. The slot is
//! given up after ten early deaths in a row. A worker that was up for 30 s or answered a job resets
//! the count.

use std::time::Duration;

use super::input::Jitter;

const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A worker that was up for this time resets the count of early deaths.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);
/// The number of early deaths in a row after which a slot is given up.
pub(super) const EARLY_DEATHS_MAX: u32 = 10;

/// Counts the early deaths of one slot, and derives the back-off from them.
#[derive(Debug, Default)]
pub(super) struct EarlyDeaths {
    count: u32,
}

impl EarlyDeaths {
    /// Resets the count, because a worker has answered a job.
    pub(super) fn forgive(&mut self) {
        self.count = 0;
    }

    /// The delay before the next start, after a worker that was up for `up` (zero if its program
    /// never ran or it was being stopped); `None` to give up.
    ///
    /// One count determines both the delay and when to give up. With a limit of starts per period,
    /// as in systemd, the growing delay would keep the limit from being reached.
    pub(super) fn delay(
        &mut self,
        is_early: bool,
        up: Duration,
        jitter: Jitter,
    ) -> Option<Duration> {
        if up >= FORGIVEN_AFTER {
            self.count = 0;
        }
        if !is_early {
            return Some(Duration::ZERO);
        }
        self.count += 1;
        if self.count >= EARLY_DEATHS_MAX {
            return None;
        }
        let doubled = DELAY_FIRST * 2u32.pow(self.count - 1);
        Some(jitter.apply(doubled.min(DELAY_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Duration = Duration::from_millis(500);
    /// A random number that changes no delay.
    const STILL: u64 = Jitter::PERMILLE_MAX as u64;

    fn delays(deaths: &mut EarlyDeaths, random: u64) -> Vec<Option<u128>> {
        let jitter = Jitter::from_random(random);
        (0..EARLY_DEATHS_MAX)
            .map(|_| deaths.delay(true, UP, jitter).map(|delay| delay.as_millis()))
            .collect()
    }

    #[test]
    fn delays_double_to_their_cap_and_then_end() {
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]
            .map(Some)
            .into_iter()
            .chain([None]);
        assert_eq!(delays(&mut EarlyDeaths::default(), STILL), expected.collect::<Vec<_>>());
    }

    #[test]
    fn jitter_is_twenty_percent_either_way() {
        assert_eq!(delays(&mut EarlyDeaths::default(), 0)[0], Some(80));
        assert_eq!(delays(&mut EarlyDeaths::default(), STILL * 2)[0], Some(120));
    }

    #[test]
    fn a_worker_that_was_ready_is_replaced_at_once_and_not_counted() {
        let mut deaths = EarlyDeaths::default();
        let jitter = Jitter::from_random(STILL);
        for _ in 0..100 {
            assert_eq!(deaths.delay(false, UP, jitter), Some(Duration::ZERO));
        }
        assert_eq!(deaths.delay(true, UP, jitter), Some(DELAY_FIRST));
    }

    #[test]
    fn a_worker_that_is_up_for_thirty_seconds_clears_the_record() {
        let mut deaths = EarlyDeaths::default();
        let jitter = Jitter::from_random(STILL);
        for _ in 0..EARLY_DEATHS_MAX - 1 {
            deaths.delay(true, UP, jitter);
        }
        deaths.delay(false, FORGIVEN_AFTER, jitter);
        assert_eq!(deaths.delay(true, UP, jitter), Some(DELAY_FIRST));
    }
}
