//! How far has the server come on its way to an end? A request climbs a rung at once, and time
//! climbs the others. No clock here: time is a duration since the start.

use std::time::Duration;

use pool::{
    exit::{Asked, StopReason},
    signal::{SAME_REQUEST, Signal},
};

/// From the polite request to the kill.
const ASKED_FOR: Duration = Duration::from_secs(2);
/// The kernel may hold what was killed, in a read from a disk that is gone, say.
const KILLED_FOR: Duration = Duration::from_secs(5);

/// The rungs, in their order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Rung {
    /// Nobody asked for an end.
    Serving,
    /// Nothing new begins, and what runs may finish.
    Finishing,
    /// What runs is asked to end.
    Asked,
    /// What runs is killed.
    Killed,
    /// What is still there is left to the kernel.
    Abandoned,
}

/// The way to the end.
#[derive(Debug)]
pub(crate) struct Drain {
    grace: Duration,
    rung: Rung,
    deadline: Option<Duration>,
    /// The first request; the server ends by its signal.
    signal: Option<Signal>,
    requested: Option<Duration>,
}

impl Drain {
    /// Nobody asked yet; when somebody does, what runs may take `grace` to finish.
    pub(crate) fn new(grace: Duration) -> Self {
        Self { grace, rung: Rung::Serving, deadline: None, signal: None, requested: None }
    }

    pub(crate) fn rung(&self) -> Rung {
        self.rung
    }

    /// When time climbs the next rung.
    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.deadline
    }

    /// The signal that began it.
    pub(crate) fn signal(&self) -> Option<Signal> {
        self.signal
    }

    /// What is asked of every process, for the verdict on its end.
    pub(crate) fn asked(&self) -> Option<Asked> {
        let killed = self.rung >= Rung::Killed;
        (self.rung >= Rung::Asked).then_some(Asked { why: StopReason::Shutdown, killed })
    }

    /// Somebody asks for the end: climbs a rung, unless that is the same request once more.
    pub(crate) fn request(&mut self, now: Duration, signal: Signal) -> Option<Rung> {
        if self.requested.is_some_and(|before| now < before + SAME_REQUEST) {
            return None;
        }
        self.signal.get_or_insert(signal);
        self.requested = Some(now);
        // To give up on what was killed is a matter of time only.
        if self.rung < Rung::Killed { self.climb(now) } else { None }
    }

    /// Climbs a rung if it is time to.
    pub(crate) fn tick(&mut self, now: Duration) -> Option<Rung> {
        if self.deadline.is_some_and(|deadline| deadline <= now) { self.climb(now) } else { None }
    }

    fn climb(&mut self, now: Duration) -> Option<Rung> {
        let (rung, stay) = match self.rung {
            Rung::Serving => (Rung::Finishing, Some(self.grace)),
            Rung::Finishing => (Rung::Asked, Some(ASKED_FOR)),
            Rung::Asked => (Rung::Killed, Some(KILLED_FOR)),
            Rung::Killed => (Rung::Abandoned, None),
            Rung::Abandoned => return None,
        };
        self.rung = rung;
        self.deadline = stay.map(|stay| now + stay);
        Some(rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    enum Do {
        Request,
        Tick,
    }

    /// What is done when (in ms), and the rung that is climbed to.
    fn check(grace_s: u64, steps: &[(u64, Do, Option<Rung>)]) -> Drain {
        let mut drain = Drain::new(Duration::from_secs(grace_s));
        for (at, act, expected) in steps {
            let now = Duration::from_millis(*at);
            let climbed = match act {
                Do::Request => drain.request(now, Signal::TERM),
                Do::Tick => drain.tick(now),
            };
            assert_eq!(climbed, *expected, "at {at} ms");
        }
        drain
    }

    #[test]
    fn time_climbs_every_rung_after_the_first() {
        let drain = check(
            10,
            &[
                (0, Do::Tick, None),
                (5, Do::Request, Some(Rung::Finishing)),
                (10_004, Do::Tick, None),
                (10_005, Do::Tick, Some(Rung::Asked)),
                (12_004, Do::Tick, None),
                (12_005, Do::Tick, Some(Rung::Killed)),
                (17_005, Do::Tick, Some(Rung::Abandoned)),
                (99_000, Do::Tick, None),
            ],
        );
        assert_eq!(drain.deadline(), None);
    }

    #[test]
    fn a_second_request_climbs_and_an_echo_does_not() {
        check(
            10,
            &[
                (0, Do::Request, Some(Rung::Finishing)),
                (999, Do::Request, None),
                (1000, Do::Request, Some(Rung::Asked)),
                (1001, Do::Request, None),
                (2000, Do::Request, Some(Rung::Killed)),
                (3000, Do::Request, None),
                (7000, Do::Tick, Some(Rung::Abandoned)),
            ],
        );
    }

    #[test]
    fn without_grace_what_runs_is_asked_at_once() {
        let drain =
            check(0, &[(7, Do::Request, Some(Rung::Finishing)), (7, Do::Tick, Some(Rung::Asked))]);
        assert_eq!(drain.asked(), Some(Asked { why: StopReason::Shutdown, killed: false }));
        assert_eq!(drain.signal(), Some(Signal::TERM));
    }
}
