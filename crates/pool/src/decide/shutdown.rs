//! The shutdown of a run that stops early: its reason, and the time that running jobs have left. A
//! more urgent request shortens that time. A repeated request, at least a second after the last
//! one, escalates the stop of each worker by one stage.

use super::input::Tick;
use crate::{
    event::{Ending, ShutdownReason},
    signal::SAME_REQUEST,
};

/// The effect of a request to stop the run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Request {
    /// Stop every worker.
    Stop,
    /// Escalate the stop of every remaining worker by one stage.
    Press,
}

/// How much time running jobs have left.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Urgency {
    /// As much as they need.
    None,
    /// The grace period.
    Grace,
    /// No time: their outcomes cannot be written, the deadline of the run has passed, or a user or
    /// rule demands it.
    Now,
}

impl From<ShutdownReason> for Urgency {
    fn from(reason: ShutdownReason) -> Self {
        match reason {
            ShutdownReason::SourceFailed
            | ShutdownReason::Halted { now: false, .. }
            | ShutdownReason::ByUser(Ending::Drain) => Self::None,
            ShutdownReason::Signal(_) | ShutdownReason::ByUser(Ending::Stop) => Self::Grace,
            ShutdownReason::Halted { now: true, .. }
            | ShutdownReason::ByUser(Ending::Now)
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

/// A shutdown under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Shutdown {
    /// The first reason, which determines the exit status.
    pub(super) reason: ShutdownReason,
    pub(super) urgency: Urgency,
    /// When the shutdown was last escalated.
    at: Tick,
}

impl Shutdown {
    pub(super) fn begin(now: Tick, reason: ShutdownReason) -> Self {
        Self { reason, urgency: Urgency::from(reason), at: now }
    }

    /// Takes a further request. Returns its effect, if it has any.
    pub(super) fn request(&mut self, now: Tick, reason: ShutdownReason) -> Option<Request> {
        let wanted = Urgency::from(reason);
        let request = match self.urgency {
            // Ctrl-C also ends the process that reads the output. The closed output is then a
            // consequence of the first request, not a second one.
            Urgency::Grace if Urgency::Grace < wanted && reason != ShutdownReason::Deadline => {
                return None;
            }
            urgency if urgency < wanted => Request::Stop,
            _ if wanted == Urgency::Grace && now >= self.at + SAME_REQUEST => Request::Press,
            _ => return None,
        };
        (self.urgency, self.at) = (self.urgency.max(wanted), now);
        Some(request)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::signal::Signal;

    #[test]
    fn an_output_that_closes_meanwhile_kills_nobody() {
        let signal = ShutdownReason::Signal(Signal::INT);
        let mut shutdown = Shutdown::begin(Duration::ZERO, signal);
        let later = Duration::from_secs(5);
        assert_eq!(shutdown.request(later, ShutdownReason::OutputClosed), None);
        assert_eq!(shutdown.request(later, signal), Some(Request::Press));
    }

    #[test]
    fn jobs_that_may_finish_have_the_grace_at_the_first_signal_and_no_time_at_the_deadline() {
        let signal = ShutdownReason::Signal(Signal::INT);
        let halted = ShutdownReason::Halted { now: false, is_goal: false };
        let mut shutdown = Shutdown::begin(Duration::ZERO, halted);
        assert_eq!(shutdown.urgency, Urgency::None);
        for (reason, request, urgency) in [
            (ShutdownReason::SourceFailed, None, Urgency::None),
            (signal, Some(Request::Stop), Urgency::Grace),
            (signal, None, Urgency::Grace),
            (ShutdownReason::Deadline, Some(Request::Stop), Urgency::Now),
            (ShutdownReason::Deadline, None, Urgency::Now),
        ] {
            assert_eq!(shutdown.request(Duration::ZERO, reason), request, "{reason:?}");
            assert_eq!(shutdown.urgency, urgency, "{reason:?}");
        }
        assert_eq!(shutdown.reason, halted);
    }

    #[test]
    fn two_requests_within_a_second_are_one() {
        let term = ShutdownReason::Signal(Signal::TERM);
        let mut shutdown = Shutdown::begin(Duration::ZERO, term);
        let mut at = |ms, signal| {
            shutdown.request(Duration::from_millis(ms), ShutdownReason::Signal(signal))
        };
        assert_eq!(at(1, Signal::TERM), None);
        assert_eq!(at(999, Signal::INT), None);
        assert_eq!(at(1000, Signal::INT), Some(Request::Press));
        assert_eq!(at(1999, Signal::INT), None);
        assert_eq!(at(9000, Signal::INT), Some(Request::Press));
        assert_eq!(shutdown.reason, term);
    }
}
