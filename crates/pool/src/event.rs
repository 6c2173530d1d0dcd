//! What may be told of a run? The closed list of events, from which every view is folded.

use std::time::Duration;

pub use crate::worker_id::WorkerId;
use crate::{
    exit::{Cause, Evidence, ProtocolFault, StartFault, Status, StopReason},
    job::Attempt,
    signal::Signal,
};

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
    /// The worker has stayed up long enough to count on, or speaks the worker protocol.
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
    /// Killed, and yet not gone: the kernel holds it. It is waited for no longer; its slot may have
    /// another worker, or has one.
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
    /// The first worker has been up for a while and says nothing.
    StillSilent {
        /// Which worker.
        worker: WorkerId,
    },
    /// An attempt of a job came to nothing, and there will be another.
    TriedAgain {
        /// The job's number.
        id: u64,
        /// The attempt.
        attempt: Attempt,
        /// When the next one comes.
        again: Again,
    },
    /// How the jobs stand; told once a step at most.
    Jobs(Tally),
}

/// When a job is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// After this time.
    After(Duration),
    /// As soon as there is a fresh worker for it alone.
    Alone,
    /// Next: it was not to blame.
    Next,
}

/// How many jobs are where.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Accepted so far; each of these is also counted below, once.
    pub accepted: u64,
    /// Done.
    pub ok: u64,
    /// Failed for good, too long ones included.
    pub failed: u64,
    /// Parked, since their worker died of them.
    pub crashed: u64,
    /// Left over when the run ended.
    pub not_run: u64,
    /// Waiting to be sent, now or after a delay.
    pub queued: u64,
    /// Sent to a worker.
    pub in_flight: u64,
    /// Attempts that came to nothing and were followed by another.
    pub tried_again: u64,
}

impl Tally {
    /// Jobs that have ended, in whatever way.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.ok + self.failed + self.crashed + self.not_run
    }

    /// Whether a job ended otherwise than well.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.failed + self.crashed > 0
    }
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
    /// Nor can a report, of which it was said which and why.
    ReportFailed,
    /// The program cannot be started.
    CannotStart(StartFault),
    /// The program does not speak the worker protocol.
    NotAWorker(Mute),
    /// The time for the whole run is over.
    Deadline,
    /// So many jobs have ended as `--halt` or `--max-fail` says.
    Halted {
        /// Whether running jobs are not waited for.
        now: bool,
    },
    /// The journal cannot be written any more; why was said.
    JournalFailed,
    /// The input cannot be read on; why was said.
    SourceFailed,
    /// Somebody asked for it, by the control socket.
    Asked(Ending),
}

/// How a run is asked to end by its control socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// What runs finishes, however long that takes.
    Drain,
    /// It has the grace.
    Stop,
    /// It has no time.
    Now,
}

/// How a program showed that it is no worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mute {
    /// It ended.
    Ended(Status),
    /// It said something else, or nothing.
    Fault(ProtocolFault),
}
