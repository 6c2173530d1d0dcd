//! The phases of a run and the smaller state machines beside it, as types that cannot hold
//! combinations without meaning.

use std::time::Duration;

use tokio::time::Instant;

use pool::{RunEnd, Tick, signal::SAME_REQUEST};
use process::terminal;

/// The phase of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Phase {
    /// Workers run, or are being stopped.
    Running,
    /// All workers have ended. Outcomes are being recorded and output is being written.
    Writing {
        /// How the run ended, as far as is known.
        end: RunEnd,
        /// When the run stops waiting for slow readers; `None` until a user asks it to stop.
        deadline: Option<Instant>,
    },
    /// The journal commits the rest. How the run ended is recorded and does not change any more.
    Committing {
        /// How the run ended.
        end: RunEnd,
    },
    /// Nothing is left to do.
    Over {
        /// How the run ended.
        end: RunEnd,
    },
}

impl Phase {
    /// How the run ended, once all workers have.
    pub(super) fn end(self) -> Option<RunEnd> {
        match self {
            Self::Running => None,
            Self::Writing { end, .. } | Self::Committing { end } | Self::Over { end } => Some(end),
        }
    }

    /// When the phase ends whatever happens.
    pub(super) fn deadline(self) -> Option<Instant> {
        match self {
            Self::Writing { deadline, .. } => deadline,
            Self::Running | Self::Committing { .. } | Self::Over { .. } => None,
        }
    }
}

/// Where the output of outcomes stands.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum OutputState {
    /// Outcomes can be written and recorded.
    #[default]
    Open,
    /// The pool was asked to hold back jobs, because outcomes have no room.
    Held,
    /// Outcomes are lost, with this error number; the pool is about to learn it.
    Lost(i32),
    /// The pool knows that the output has failed, and stops.
    Failed,
}

/// The requests of a user to stop the run.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct StopRequests {
    last: Option<Instant>,
}

/// How a request to stop relates to the one before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopRequest {
    First,
    /// So soon after the previous one that it is the same: a terminal and a shell may both send it.
    Same,
    Repeated,
}

impl StopRequests {
    /// Notes a request at this moment.
    pub(super) fn note(&mut self, now: Instant) -> StopRequest {
        match self.last.replace(now) {
            None => StopRequest::First,
            Some(before) if now.duration_since(before) < SAME_REQUEST => StopRequest::Same,
            Some(_) => StopRequest::Repeated,
        }
    }

    /// Whether a user has asked the run to stop.
    pub(super) fn is_requested(self) -> bool {
        self.last.is_some()
    }
}

/// The time since the run began, which stands still while the run is suspended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    began: Instant,
    began_since_1970: Duration,
}

impl Clock {
    /// Starts now; `began_since_1970` is the wall clock of the start.
    pub(super) fn start(began_since_1970: Duration) -> Self {
        Self { began: Instant::now(), began_since_1970 }
    }

    pub(super) fn now(self) -> Tick {
        self.began.elapsed()
    }

    /// The moment of a tick, for a timer.
    pub(super) fn instant(self, tick: Tick) -> Instant {
        self.began + tick
    }

    /// The time since 1970, as of the start's wall clock.
    pub(super) fn since_1970(self) -> Duration {
        self.began_since_1970 + self.now()
    }

    /// Leaves out a time in which the run was suspended.
    pub(super) fn skip(&mut self, suspended: Duration) {
        self.began += suspended;
    }
}

/// The controlling terminal of the supervisor, if it had one at the start.
///
/// A shell sends its own HUP on to its jobs when its terminal closes, so the sender of that signal
/// says nothing; but by then the terminal is gone.
#[derive(Clone, Copy, Debug)]
pub(super) struct ControllingTerminal {
    was_attached: bool,
}

impl ControllingTerminal {
    pub(super) fn current() -> Self {
        Self { was_attached: terminal::is_attached() }
    }

    #[cfg(test)]
    pub(super) fn none() -> Self {
        Self { was_attached: false }
    }

    pub(super) fn has_closed(self) -> bool {
        self.was_attached && !terminal::is_attached()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_within_a_second_of_another_is_the_same() {
        let (mut stops, now) = (StopRequests::default(), Instant::now());
        assert!(!stops.is_requested());
        assert_eq!(stops.note(now), StopRequest::First);
        assert_eq!(stops.note(now + SAME_REQUEST / 2), StopRequest::Same);
        assert_eq!(stops.note(now + SAME_REQUEST * 2), StopRequest::Repeated);
        assert!(stops.is_requested());
    }
}
