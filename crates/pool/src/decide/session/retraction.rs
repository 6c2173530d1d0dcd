//! The state of a retraction: taking back jobs that wait in a worker behind a long job, so that
//! other workers do them.
//!
//! The recorder has one atomic word that the worker shares with the supervisor. In it, "start no
//! more jobs" and "job number n is started" exclude each other. After "start no more jobs", the
//! jobs that lie unread in the worker's pipe are stale, and the worker must drop them. A resume
//! frame marks where they end, and is sent before any other job.

use std::time::Duration;

use super::super::input::Tick;

/// If jobs wait behind the running one and the worker is silent for this time, they are retracted,
/// and replies that the worker has buffered are fetched.
const STALLED_AFTER: Duration = Duration::from_millis(1);
/// Added to that time for each KiB in flight, because transferring a large job or reply takes time,
/// and a retracted job has to be transferred twice.
const MOVED_PER_KIB: Duration = Duration::from_micros(8);
/// The longest time between two checks of whether a worker that is asleep has woken up.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// The state of a worker's retraction.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(in super::super) enum Retraction {
    /// None is under way, and jobs may be prefetched.
    #[default]
    Off,
    /// The worker may not start more jobs. Which one it started last is not known yet.
    Requested { asleep: Option<Asleep> },
    /// No job waits behind the running one, and none is sent until that one has ended.
    Answered,
    /// The worker is idle. Stale jobs may lie in its pipe, so a resume frame must precede the next
    /// jobs.
    Stale { asleep: Option<Asleep> },
    /// A resume frame was sent, and the worker has not replied since. It is sent one job at a time,
    /// because a second one could not be retracted until it has read the resume frame.
    Resumed { asleep: Option<Asleep> },
}

/// A worker that is asleep: it was silent and had started none of its jobs when they were
/// retracted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) struct Asleep {
    since: Tick,
    /// When to check again whether it has woken up.
    next_look: Tick,
}

impl Asleep {
    /// The worker is still asleep. The time to the next check equals the time that it has been
    /// asleep, from 1 ms to 1 s. So a worker that only waited for a processor soon gets jobs again,
    /// and a stopped one costs almost nothing.
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
            Self::Requested { asleep } | Self::Stale { asleep } | Self::Resumed { asleep } => {
                asleep
            }
        }
    }

    /// Whether the worker has been asleep for longer than a busy machine explains: 1 s.
    pub(super) fn is_long_asleep(self, now: Tick) -> bool {
        self.asleep().is_some_and(|asleep| asleep.since + LOOK_EVERY_MAX <= now)
    }

    /// Whether no job may be sent at the moment.
    pub(super) fn bars_sending(self) -> bool {
        matches!(self, Self::Requested { .. } | Self::Answered)
    }

    /// When a retraction, or the check of a worker that is asleep, is due. The worker has `bytes`
    /// in flight and last replied at `heard`; `may_stall` is whether jobs wait that can be
    /// retracted.
    pub(super) fn due(self, may_stall: bool, heard: Tick, bytes: usize) -> Option<Tick> {
        match self.asleep() {
            Some(_) if matches!(self, Self::Requested { .. }) => None,
            Some(asleep) => Some(asleep.next_look),
            None => {
                let kib = u32::try_from(bytes >> 10).unwrap_or(u32::MAX);
                may_stall.then(|| heard + STALLED_AFTER + MOVED_PER_KIB * kib)
            }
        }
    }

    pub(super) fn ask(&mut self) {
        *self = Self::Requested { asleep: self.asleep() };
    }

    /// The worker replied, so it is awake.
    pub(super) fn wake(&mut self) {
        *self = match *self {
            Self::Off | Self::Resumed { .. } => Self::Off,
            Self::Requested { .. } => Self::Requested { asleep: None },
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

    /// Returns whether a resume frame must precede the jobs that are sent now, and assumes that it
    /// is sent.
    pub(super) fn resume(&mut self, now: Tick) -> bool {
        let Self::Stale { asleep } = *self else { return false };
        *self = Self::Resumed { asleep: asleep.map(|known| Asleep::again(Some(known), now)) };
        true
    }

    /// The worker has not read the resume frame of the previous retraction, so it is still asleep.
    pub(super) fn sleeps_on(&mut self, now: Tick) {
        *self = Self::Resumed { asleep: Some(Asleep::again(self.asleep(), now)) };
    }

    /// The worker had started none of its jobs, so it is asleep.
    pub(super) fn falls_asleep(&mut self, now: Tick) {
        *self = Self::Stale { asleep: Some(Asleep { since: now, next_look: now }) };
    }

    /// For the simulator: treats the worker as awake.
    #[cfg(test)]
    pub(in super::super) fn forget_sleep(&mut self) {
        match self {
            Self::Off | Self::Answered => {}
            Self::Requested { asleep } | Self::Stale { asleep } | Self::Resumed { asleep } => {
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
