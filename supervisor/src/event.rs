//! What may be told of a run? The closed list of events, from which every view is folded.

use std::{fmt, time::Duration};

use crate::{
    exit::{Cause, Evidence, StartFault, StopReason},
    signal::Signal,
};

/// A worker: which slot, and the how-many-th life in it. Written `w2.7`.
///
/// What a worker says carries its id, so that the late word of a former life is told apart.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct WorkerId {
    /// The slot's number, from 1.
    pub slot: u32,
    /// The life's number, from 1.
    pub life: u32,
}

impl fmt::Display for WorkerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "w{}.{}", self.slot, self.life)
    }
}

/// Something that happened in a run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The worker's program runs.
    Started {
        /// Which worker.
        worker: WorkerId,
        /// Its process.
        pid: i32,
    },
    /// The worker has stayed up long enough to count on.
    Ready {
        /// Which worker.
        worker: WorkerId,
    },
    /// The worker's process is gone.
    Ended(Ended),
    /// The worker is asked to end, or killed.
    Stopping {
        /// Which worker.
        worker: WorkerId,
        /// Why.
        why: StopReason,
        /// Whether this is the kill.
        kill: bool,
    },
    /// Killed, and yet not gone: the kernel holds it. Its slot is given up.
    Undead {
        /// Which worker.
        worker: WorkerId,
    },
    /// The run stops.
    ShuttingDown {
        /// Why.
        reason: ShutdownReason,
    },
    /// A roll ended before all workers were replaced, since this new worker did not stay up.
    RollCalledOff {
        /// The replacement that failed.
        worker: WorkerId,
    },
}

/// The end of a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Which worker.
    pub worker: WorkerId,
    /// Its process; `None` when there never was one.
    pub pid: Option<i32>,
    /// Why it ended.
    pub cause: Cause,
    /// How it ended; `None` when its program never ran.
    pub evidence: Option<Evidence>,
    /// What becomes of its slot.
    pub next: Next,
}

/// What becomes of a slot whose worker has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A new worker starts after this time.
    Again(Duration),
    /// Its successor already has the slot.
    Replaced,
    /// It was to succeed a worker that is still there, and keeps the slot.
    NotNeeded,
    /// Nothing: the worker was not to be started again, or the run stops.
    Done,
    /// Nothing: too many workers in a row died before they were ready.
    GaveUp,
}

/// Why a run stops before its workers end by themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShutdownReason {
    /// Somebody sent this signal.
    Signal(Signal),
    /// Nobody reads our output any more.
    OutputClosed,
    /// Our output cannot be written: the error number.
    OutputFailed(i32),
    /// The program cannot be started.
    CannotStart(StartFault),
}
