//! When a worker that died is started again.
//!
//! A worker that was ready is replaced at once. One that died early is replaced after 100 ms; the
//! delay doubles each time, up to 30 s, with 20 % jitter either way. After ten early deaths in a
//! row, with no worker up for 30 s between them, the slot is given up.

use std::time::Duration;

use super::input::Jitter;

const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);
/// A worker that was up this long clears the record of early deaths.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);
/// The number of early deaths in a row after which a slot is given up.
pub(super) const EARLY_DEATHS_MAX: u32 = 10;

/// The early deaths of one slot.
#[derive(Debug, Default)]
pub(super) struct Record {
    early_deaths: u32,
}

impl Record {
    /// A worker has done a job: earlier deaths no longer count.
    pub(super) fn forgive(&mut self) {
        self.early_deaths = 0;
    }

    /// The delay before the next start, after a worker that was up for `up` (zero if its program
    /// never ran); `None` to give up.
    ///
    /// The delay and giving up share one budget. With a limit of starts per period, as systemd has
    /// it, a growing delay would keep the limit from ever being reached.
    pub(super) fn delay(&mut self, ready: bool, up: Duration, jitter: Jitter) -> Option<Duration> {
        if up >= FORGIVEN_AFTER {
            self.early_deaths = 0;
        }
        if ready {
            return Some(Duration::ZERO);
        }
        self.early_deaths += 1;
        if self.early_deaths >= EARLY_DEATHS_MAX {
            return None;
        }
        let doubled = DELAY_FIRST * 2u32.pow(self.early_deaths - 1);
        Some(jitter.apply(doubled.min(DELAY_MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UP: Duration = Duration::from_millis(500);
    /// A random number that changes no delay.
    const STILL: u64 = Jitter::PERMILLE_MAX as u64;

    fn delays(record: &mut Record, random: u64) -> Vec<Option<u128>> {
        let jitter = Jitter::from_random(random);
        (0..EARLY_DEATHS_MAX)
            .map(|_| record.delay(false, UP, jitter).map(|delay| delay.as_millis()))
            .collect()
    }

    #[test]
    fn delays_double_to_their_cap_and_then_end() {
        let expected = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600]
            .map(Some)
            .into_iter()
            .chain([None]);
        assert_eq!(delays(&mut Record::default(), STILL), expected.collect::<Vec<_>>());
    }

    #[test]
    fn jitter_is_twenty_percent_either_way() {
        assert_eq!(delays(&mut Record::default(), 0)[0], Some(80));
        assert_eq!(delays(&mut Record::default(), STILL * 2)[0], Some(120));
    }

    #[test]
    fn a_worker_that_was_ready_is_replaced_at_once_and_not_counted() {
        let mut record = Record::default();
        let jitter = Jitter::from_random(STILL);
        for _ in 0..100 {
            assert_eq!(record.delay(true, UP, jitter), Some(Duration::ZERO));
        }
        assert_eq!(record.delay(false, UP, jitter), Some(DELAY_FIRST));
    }

    #[test]
    fn a_worker_that_is_up_for_thirty_seconds_clears_the_record() {
        let mut record = Record::default();
        let jitter = Jitter::from_random(STILL);
        for _ in 0..EARLY_DEATHS_MAX - 1 {
            record.delay(false, UP, jitter);
        }
        record.delay(true, FORGIVEN_AFTER, jitter);
        assert_eq!(record.delay(false, UP, jitter), Some(DELAY_FIRST));
    }
}
