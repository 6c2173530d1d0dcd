//! How far has the run come on its way to an end, and, apart from that, why? Each request
//! climbs one rung, at most one a second.

use super::Tick;
use crate::{
    event::{Ending, ShutdownReason},
    signal::SAME_REQUEST,
};

/// What a request brings about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Climb {
    /// Every worker is asked to end.
    Ask,
    /// Every worker that is still there is brought to the next rung.
    Press,
}

/// What time is left to the jobs that run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Haste {
    /// All that they need.
    None,
    /// The grace.
    Grace,
    /// None: their outcomes would go nowhere, or the time of the run is over.
    Now,
}

impl From<ShutdownReason> for Haste {
    fn from(reason: ShutdownReason) -> Self {
        match reason {
            ShutdownReason::SourceFailed
            | ShutdownReason::Halted { now: false }
            | ShutdownReason::Asked(Ending::Drain) => Self::None,
            ShutdownReason::Signal(_) | ShutdownReason::Asked(Ending::Stop) => Self::Grace,
            ShutdownReason::Halted { now: true }
            | ShutdownReason::Asked(Ending::Now)
            | ShutdownReason::Deadline
            | ShutdownReason::NotAWorker(_)
            | ShutdownReason::CannotStart(_)
            | ShutdownReason::OutputClosed
            | ShutdownReason::OutputFailed(_)
            | ShutdownReason::ReportFailed
            | ShutdownReason::JournalFailed => Self::Now,
        }
    }
}

/// The run's progress towards its end.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// The first reason given; the exit status follows it.
    reason: Option<ShutdownReason>,
    last: Option<(Haste, Tick)>,
}

impl Shutdown {
    pub(super) fn reason(&self) -> Option<ShutdownReason> {
        self.reason
    }

    /// What time is left to jobs, once the run stops.
    pub(super) fn haste(&self) -> Option<Haste> {
        self.last.map(|(haste, _)| haste)
    }

    /// Climbs a rung, if it is time to and there is one.
    pub(super) fn request(&mut self, now: Tick, reason: ShutdownReason) -> Option<Climb> {
        self.reason.get_or_insert(reason);
        let wanted = Haste::from(reason);
        let is_wish = wanted == Haste::Grace;
        let climb = match self.last {
            None => Climb::Ask,
            // A Ctrl-C ends whoever reads our output too: that is no second wish.
            Some((haste @ Haste::Grace, _)) if haste < wanted => {
                (reason == ShutdownReason::Deadline).then_some(Climb::Ask)?
            }
            Some((haste, _)) if haste < wanted => Climb::Ask,
            Some((_, at)) if is_wish && now >= at + SAME_REQUEST => Climb::Press,
            Some(_) => return None,
        };
        let haste = self.haste().map_or(wanted, |haste| haste.max(wanted));
        self.last = Some((haste, now));
        Some(climb)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signal::Signal;

    #[test]
    fn an_output_that_closes_meanwhile_kills_nobody() {
        let mut shutdown = Shutdown::default();
        let signal = ShutdownReason::Signal(Signal::INT);
        assert_eq!(shutdown.request(Duration::ZERO, signal), Some(Climb::Ask));
        let later = Duration::from_secs(5);
        assert_eq!(shutdown.request(later, ShutdownReason::OutputClosed), None);
        assert_eq!(shutdown.request(later, signal), Some(Climb::Press));
    }

    #[test]
    fn jobs_that_may_finish_have_the_grace_at_the_first_signal_and_no_time_at_the_deadline() {
        let mut shutdown = Shutdown::default();
        let signal = ShutdownReason::Signal(Signal::INT);
        let halted = ShutdownReason::Halted { now: false };
        for (reason, climb, haste) in [
            (halted, Some(Climb::Ask), Haste::None),
            (ShutdownReason::SourceFailed, None, Haste::None),
            (signal, Some(Climb::Ask), Haste::Grace),
            (signal, None, Haste::Grace),
            (ShutdownReason::Deadline, Some(Climb::Ask), Haste::Now),
            (ShutdownReason::Deadline, None, Haste::Now),
        ] {
            assert_eq!(shutdown.request(Duration::ZERO, reason), climb, "{reason:?}");
            assert_eq!(shutdown.haste(), Some(haste), "{reason:?}");
        }
        assert_eq!(shutdown.reason(), Some(halted));
    }

    #[test]
    fn two_requests_within_a_second_are_one() {
        let mut shutdown = Shutdown::default();
        let mut at = |ms, signal| {
            shutdown.request(Duration::from_millis(ms), ShutdownReason::Signal(signal))
        };
        assert_eq!(at(0, Signal::TERM), Some(Climb::Ask));
        assert_eq!(at(1, Signal::TERM), None);
        assert_eq!(at(999, Signal::INT), None);
        assert_eq!(at(1000, Signal::INT), Some(Climb::Press));
        assert_eq!(at(1999, Signal::INT), None);
        assert_eq!(at(9000, Signal::INT), Some(Climb::Press));
        assert_eq!(shutdown.reason(), Some(ShutdownReason::Signal(Signal::TERM)));
    }
}
