//! The state of retracting jobs: what waits in a worker behind a long job goes to another worker.
//!
//! The worker shares one atomic word with the supervisor, in which "start nothing more" and "job
//! number n is started" exclude each other. After "start nothing more", jobs that lie unread in
//! the worker's pipe are stale. They have to be declared forgotten before others are sent.

use std::time::Duration;

use super::super::input::Tick;

/// A worker that is silent for this long while jobs wait behind the one that it runs must not
/// start them: another worker gets them, and replies that it holds back are fetched.
const STALLED_AFTER: Duration = Duration::from_millis(1);
/// Added for each KiB in flight: while a large job or reply is being moved, a worker is not
/// silent, and what is retracted must be moved twice.
const MOVED_PER_KIB: Duration = Duration::from_micros(8);
/// The longest time between two looks at whether a sleeping worker has woken up.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// How far a worker is with a retraction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in super::super) enum Retraction {
    /// Jobs are sent ahead.
    #[default]
    Off,
    /// The worker must start nothing more; which job it started last is not known yet.
    Asked { asleep: Option<Asleep> },
    /// Nothing waits behind the running job, and nothing is sent until that has ended.
    Answered,
    /// The worker is idle. Stale jobs may lie in its pipe: they are to be declared forgotten
    /// before others are sent.
    Stale { asleep: Option<Asleep> },
    /// Stale jobs were declared forgotten, and nothing was heard of the worker since: it is sent
    /// one job at a time, since a second one could not be retracted.
    Resumed { asleep: Option<Asleep> },
}

/// A worker that had jobs, was silent, and had not started any of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Asleep {
    since: Tick,
    /// When to look at it again.
    next_look: Tick,
}

impl Asleep {
    /// It sleeps still. The next look comes after as long as it has slept: a worker that only
    /// waits for a processor soon has jobs again, and one that is stopped costs nothing.
    fn again(known: Option<Self>, now: Tick) -> Self {
        let since = known.map_or(now, |asleep| asleep.since);
        let pause = (now - since).clamp(STALLED_AFTER, LOOK_EVERY_MAX);
        Self { since, next_look: now + pause }
    }
}

impl Retraction {
    pub(super) fn asleep(self) -> Option<Asleep> {
        match self {
            Self::Off | Self::Answered => None,
            Self::Asked { asleep } | Self::Stale { asleep } | Self::Resumed { asleep } => asleep,
        }
    }

    /// Whether the worker has been asleep for longer than a scheduler keeps a process waiting.
    pub(super) fn sleeps_fast(self, now: Tick) -> bool {
        self.asleep().is_some_and(|asleep| asleep.since + LOOK_EVERY_MAX <= now)
    }

    /// Whether no job may be sent.
    pub(super) fn bars_sending(self) -> bool {
        matches!(self, Self::Asked { .. } | Self::Answered)
    }

    /// When a worker with `bytes` in flight that was heard of last at `heard` is due for a
    /// retraction; `may_stall` says whether jobs wait that can be retracted.
    pub(super) fn due(self, may_stall: bool, heard: Tick, bytes: usize) -> Option<Tick> {
        match self.asleep() {
            Some(_) if matches!(self, Self::Asked { .. }) => None,
            Some(asleep) => Some(asleep.next_look),
            None => {
                let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
                may_stall.then(|| heard + STALLED_AFTER + MOVED_PER_KIB * kib)
            }
        }
    }

    pub(super) fn ask(&mut self) {
        *self = Self::Asked { asleep: self.asleep() };
    }

    /// The worker was heard of.
    pub(super) fn wake(&mut self) {
        *self = match *self {
            Self::Off | Self::Resumed { .. } => Self::Off,
            Self::Asked { .. } => Self::Asked { asleep: None },
            Self::Answered => Self::Answered,
            Self::Stale { .. } => Self::Stale { asleep: None },
        }
    }

    /// The worker has nothing in flight.
    pub(super) fn on_idle(&mut self) {
        if *self == Self::Answered {
            *self = Self::Stale { asleep: None };
        }
    }

    /// Whether what is sent now must come behind the declaration that stale jobs are forgotten.
    pub(super) fn resume(&mut self, now: Tick) -> bool {
        let Self::Stale { asleep } = *self else { return false };
        *self = Self::Resumed { asleep: asleep.map(|known| Asleep::again(Some(known), now)) };
        true
    }

    /// The worker has not come past the retraction before this one.
    pub(super) fn sleeps_on(&mut self, now: Tick) {
        *self = Self::Resumed { asleep: Some(Asleep::again(self.asleep(), now)) };
    }

    /// The worker had started nothing of what it was sent.
    pub(super) fn falls_asleep(&mut self, now: Tick) {
        *self = Self::Stale { asleep: Some(Asleep { since: now, next_look: now }) };
    }

    /// For the simulation: the worker is taken to be awake.
    #[cfg(test)]
    pub(in super::super) fn forget_sleep(&mut self) {
        match self {
            Self::Off | Self::Answered => {}
            Self::Asked { asleep } | Self::Stale { asleep } | Self::Resumed { asleep } => {
                *asleep = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_not_silent_while_large_jobs_are_moved() {
        let heard = Tick::from_secs(7);
        let stalled_after =
            |may_stall, bytes| Retraction::Off.due(may_stall, heard, bytes).map(|at| at - heard);
        assert_eq!(stalled_after(true, 64 * 15), Some(Duration::from_millis(1)));
        assert_eq!(stalled_after(true, 2 << 20), Some(Duration::from_micros(1_000 + 8 * 2048)));
        assert_eq!(stalled_after(false, 1 << 20), None);
    }
}
