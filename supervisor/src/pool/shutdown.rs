//! How far has the run come on its way to an end, and, apart from that, why? Each request
//! climbs one rung, at most one a second.

use super::Tick;
use crate::{event::ShutdownReason, signal::SAME_REQUEST};

/// What a request brings about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Climb {
    /// Every worker is asked to end.
    Ask,
    /// Every worker that is still there is brought to the next rung.
    Press,
}

/// The run's progress towards its end.
#[derive(Debug, Default)]
pub(super) struct Shutdown {
    /// The first reason given; the exit status follows it.
    reason: Option<ShutdownReason>,
    last: Option<(Climb, Tick)>,
}

impl Shutdown {
    pub(super) fn reason(&self) -> Option<ShutdownReason> {
        self.reason
    }

    /// Climbs a rung, if it is time to and there is one.
    pub(super) fn request(&mut self, now: Tick, reason: ShutdownReason) -> Option<Climb> {
        self.reason.get_or_insert(reason);
        // A Ctrl-C ends whoever reads our output too: that is no second wish.
        let is_request = matches!(reason, ShutdownReason::Signal(_));
        let climb = match self.last {
            None => Climb::Ask,
            Some((_, at)) if is_request && now >= at + SAME_REQUEST => Climb::Press,
            Some(_) => return None,
        };
        self.last = Some((climb, now));
        Some(climb)
    }
}

/// Whether jobs that run may finish: not where their outcomes would go nowhere, or their time
/// is over.
pub(super) fn drains(reason: ShutdownReason) -> bool {
    match reason {
        ShutdownReason::Signal(_)
        | ShutdownReason::SourceFailed
        | ShutdownReason::Halted { now: false } => true,
        ShutdownReason::Halted { now: true }
        | ShutdownReason::Deadline
        | ShutdownReason::NotAWorker(_)
        | ShutdownReason::CannotStart(_)
        | ShutdownReason::OutputClosed
        | ShutdownReason::OutputFailed(_) => false,
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
