//! Decides when a slot whose worker ended gets another one: at once, after a back-off, or never.
//!
//! Only crashes count against the program: ends for which neither a user, nor the supervisor, nor
//! an outside signal, nor a job is the reason. The first crash of a worker that was ready is
//! followed by a start at once. After any other crash the slot backs off: 100 ms, doubled with each
//! crash up to 30 s, with 20 % jitter. The slot is given up at a number of crashes within a period:
//! the *restart intensity*. The period must be longer than the back-off takes until then, which is
//! about a minute for ten crashes.
//!
//! A failed start for want of processes, memory or descriptors backs off in the same way, and is
//! never a reason to give up.

use std::{collections::VecDeque, time::Duration};

use super::input::{Jitter, Tick};
use crate::rules::Intensity;

const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(30);

/// How a worker's life ended, as far as it matters for the next start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Life {
    /// It served: the next worker starts at once.
    Served,
    /// It crashed after it was ready.
    Crashed,
    /// It crashed before it was ready or of any use.
    CrashedEarly,
    /// It ended before it was of any use, and nothing shows that this is the program's fault.
    EndedEarly,
    /// It never started, because something was short that may soon be there.
    NotStarted,
}

/// The crashes of one slot within the period, and the back-off that follows from them.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    /// The times of the crashes.
    recent: VecDeque<Tick>,
    /// Failed starts in a row.
    failed_starts: u32,
}

impl Crashes {
    /// Forgets all crashes: a worker has answered a job, or a user starts the slot again.
    pub(super) fn forgive(&mut self) {
        self.recent.clear();
        self.failed_starts = 0;
    }

    /// The delay before the next start; `None` to give up.
    pub(super) fn delay(
        &mut self,
        life: Life,
        now: Tick,
        jitter: Jitter,
        intensity: Intensity,
    ) -> Option<Duration> {
        if life != Life::NotStarted {
            self.failed_starts = 0;
        }
        let doublings = match life {
            Life::Served => return Some(Duration::ZERO),
            Life::EndedEarly => 0,
            Life::NotStarted => {
                self.failed_starts = self.failed_starts.saturating_add(1);
                self.failed_starts - 1
            }
            Life::Crashed | Life::CrashedEarly => {
                let crashes = self.note(now, intensity.period);
                if crashes >= intensity.crashes {
                    return None;
                }
                match crashes.checked_sub(if life == Life::Crashed { 2 } else { 1 }) {
                    Some(doublings) => doublings,
                    None => return Some(Duration::ZERO),
                }
            }
        };
        let doubled = DELAY_FIRST.saturating_mul(2u32.saturating_pow(doublings));
        Some(jitter.apply(doubled.min(DELAY_MAX)))
    }

    /// Notes a crash. Returns how many there were within the period.
    fn note(&mut self, now: Tick, period: Duration) -> u32 {
        while self.recent.front().is_some_and(|at| *at + period <= now) {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        u32::try_from(self.recent.len()).unwrap_or(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Intensity = Intensity { crashes: 10, period: Duration::from_secs(300) };
    /// A random number that changes no delay.
    const STILL: u64 = Jitter::PERMILLE_MAX as u64;

    /// The delays in milliseconds after these ends of workers that live for `up`, until the slot is
    /// given up.
    fn delays(lives: &[Life], up: Duration, random: u64) -> Vec<u128> {
        let (mut crashes, mut now) = (Crashes::default(), Tick::ZERO);
        let jitter = Jitter::from_random(random);
        let delay = |life: &Life| {
            now += up;
            let delay = crashes.delay(*life, now, jitter, TEN)?;
            now += delay;
            Some(delay.as_millis())
        };
        lives.iter().map_while(delay).collect()
    }

    #[test]
    fn delays_double_and_the_tenth_crash_within_the_period_ends_them() {
        let up = Duration::from_millis(500);
        let early = [100, 200, 400, 800, 1600, 3200, 6400, 12_800, 25_600];
        assert_eq!(delays(&[Life::CrashedEarly; 20], up, STILL), early);
        let ready = [0, 100, 200, 400, 800, 1600, 3200, 6400, 12_800];
        assert_eq!(delays(&[Life::Crashed; 20], 2 * up, STILL), ready);
    }

    #[test]
    fn a_worker_that_lives_long_enough_between_crashes_is_never_given_up() {
        let up = Duration::from_secs(60);
        assert_eq!(delays(&[Life::Crashed; 500], up, STILL).len(), 500);
        assert!(delays(&[Life::Crashed; 500], up / 4, STILL).len() < 10);
    }

    #[test]
    fn only_crashes_count() {
        let up = Duration::ZERO;
        assert_eq!(delays(&[Life::Served; 100], up, STILL), [0; 100]);
        assert_eq!(delays(&[Life::EndedEarly; 100], up, STILL), [100; 100]);
        let failed = delays(&[Life::NotStarted; 100], up, STILL);
        assert_eq!((failed.len(), failed[0], failed[3], failed[99]), (100, 100, 800, 30_000));
    }

    #[test]
    fn jitter_is_twenty_percent_either_way() {
        let first = |random| delays(&[Life::CrashedEarly], Duration::ZERO, random)[0];
        assert_eq!((first(0), first(STILL * 2)), (80, 120));
    }
}
