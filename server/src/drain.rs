//! The shutdown of the server, in stages: running connections may finish, then they are asked to
//! end, then killed. Each request to stop moves to the next stage at once; otherwise time does. The
//! module reads no clock: time is the duration since the server started.

use std::time::Duration;

use pool::{
    exit::{StopReason, StopRequest},
    signal::{SAME_REQUEST, Signal},
};

/// Time between SIGTERM and SIGKILL.
pub(crate) const TERM_TO_KILL: Duration = Duration::from_secs(2);
/// Time after SIGKILL until processes that the kernel still holds, in a read from a dead disk for
/// instance, are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(5);

/// The stages of a shutdown, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Stage {
    /// No client is accepted, and running connections may finish.
    Finishing,
    /// Running connections were asked to end.
    Asked,
    /// Running connections were killed.
    Killed,
    /// The server does not wait for processes that are still there.
    Abandoned,
}

/// The state of the shutdown.
#[derive(Debug)]
pub(crate) struct Drain {
    /// Time that running connections have to finish.
    grace: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// There was no request to stop.
    Serving,
    Stopping {
        stage: Stage,
        /// The time of the next stage; `None` in the last.
        until: Option<Duration>,
        /// The signal of the first request, by which the server ends.
        signal: Signal,
        requested_at: Duration,
    },
}

impl Drain {
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, state: State::Serving }
    }

    /// The stage of the shutdown; `None` while the server serves.
    pub(crate) fn stage(&self) -> Option<Stage> {
        match self.state {
            State::Serving => None,
            State::Stopping { stage, .. } => Some(stage),
        }
    }

    /// The time of the next stage.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        match self.state {
            State::Serving => None,
            State::Stopping { until, .. } => until,
        }
    }

    /// The signal of the first request to stop.
    pub(crate) fn signal(&self) -> Option<Signal> {
        match self.state {
            State::Serving => None,
            State::Stopping { signal, .. } => Some(signal),
        }
    }

    /// What the server asked of every process, from which the cause of its end is judged.
    pub(crate) fn asked(&self) -> Option<StopRequest> {
        let stage = self.stage().filter(|stage| *stage >= Stage::Asked)?;
        Some(StopRequest { why: StopReason::Shutdown, killed: stage >= Stage::Killed })
    }

    /// Handles a request to stop. Returns the stage that begins, if one does: requests within a
    /// second count as one, and only time leads from the kill to the last stage.
    pub(crate) fn request(&mut self, now: Duration, by: Signal) -> Option<Stage> {
        match self.state {
            State::Serving => Some(self.enter(Stage::Finishing, now, by, now)),
            State::Stopping { stage, signal, requested_at, .. } => {
                if now < requested_at + SAME_REQUEST {
                    return None;
                }
                let next = next(stage).filter(|_| stage < Stage::Killed)?;
                Some(self.enter(next, now, signal, now))
            }
        }
    }

    /// Moves to the next stage if it is time. Returns the stage that begins, if one does.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Stage> {
        match self.state {
            State::Stopping { stage, until: Some(until), signal, requested_at } if until <= now => {
                Some(self.enter(next(stage)?, now, signal, requested_at))
            }
            _ => None,
        }
    }

    fn enter(
        &mut self,
        stage: Stage,
        now: Duration,
        signal: Signal,
        requested_at: Duration,
    ) -> Stage {
        let until = match stage {
            Stage::Finishing => Some(now + self.grace),
            Stage::Asked => Some(now + TERM_TO_KILL),
            Stage::Killed => Some(now + GIVE_UP_AFTER),
            Stage::Abandoned => None,
        };
        self.state = State::Stopping { stage, until, signal, requested_at };
        stage
    }
}

fn next(stage: Stage) -> Option<Stage> {
    match stage {
        Stage::Finishing => Some(Stage::Asked),
        Stage::Asked => Some(Stage::Killed),
        Stage::Killed => Some(Stage::Abandoned),
        Stage::Abandoned => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Do {
        Request,
        Tick,
    }

    /// Plays steps of (time in ms, act, stage that begins).
    fn check(grace_s: u64, steps: &[(u64, Do, Option<Stage>)]) -> Drain {
        let mut drain = Drain::new(Duration::from_secs(grace_s));
        for (at, act, expected) in steps {
            let now = Duration::from_millis(*at);
            let began = match act {
                Do::Request => drain.request(now, Signal::TERM),
                Do::Tick => drain.tick(now),
            };
            assert_eq!(began, *expected, "at {at} ms");
        }
        drain
    }

    #[test]
    fn time_leads_to_each_stage_after_the_first() {
        let drain = check(
            10,
            &[
                (0, Do::Tick, None),
                (5, Do::Request, Some(Stage::Finishing)),
                (10_004, Do::Tick, None),
                (10_005, Do::Tick, Some(Stage::Asked)),
                (12_004, Do::Tick, None),
                (12_005, Do::Tick, Some(Stage::Killed)),
                (17_005, Do::Tick, Some(Stage::Abandoned)),
                (99_000, Do::Tick, None),
            ],
        );
        assert_eq!(drain.deadline(), None);
    }

    #[test]
    fn a_second_request_leads_to_the_next_stage_and_an_echo_does_not() {
        check(
            10,
            &[
                (0, Do::Request, Some(Stage::Finishing)),
                (999, Do::Request, None),
                (1000, Do::Request, Some(Stage::Asked)),
                (1001, Do::Request, None),
                (2000, Do::Request, Some(Stage::Killed)),
                (3000, Do::Request, None),
                (7000, Do::Tick, Some(Stage::Abandoned)),
            ],
        );
    }

    #[test]
    fn without_a_grace_period_connections_are_asked_to_end_at_once() {
        let steps = [(7, Do::Request, Some(Stage::Finishing)), (7, Do::Tick, Some(Stage::Asked))];
        let drain = check(0, &steps);
        assert_eq!(drain.asked(), Some(StopRequest { why: StopReason::Shutdown, killed: false }));
        assert_eq!(drain.signal(), Some(Signal::TERM));
    }
}
