//! What may be reported of a run: a closed list of events, from which every view is folded.

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
    /// A worker's program is executed.
    Started {
        /// The worker.
        worker: WorkerId,
        /// Its process.
        pid: i32,
    },
    /// A worker speaks the worker protocol; without jobs, it has stayed up for a second.
    Ready {
        /// The worker.
        worker: WorkerId,
    },
    /// A worker's process is gone.
    Ended(Ended),
    /// A worker is to end, or is killed.
    Stopping {
        /// The worker.
        worker: WorkerId,
        /// Why it is to end.
        why: StopReason,
        /// Whether it is killed now.
        kill: bool,
    },
    /// A worker was killed and is not gone: the kernel holds it. It is waited for no longer, and
    /// its slot may have another worker.
    Unkillable {
        /// The worker.
        worker: WorkerId,
    },
    /// The run stops before its workers or its jobs have ended by themselves.
    ShuttingDown {
        /// Why.
        reason: ShutdownReason,
    },
    /// A roll ended before all workers were replaced, since a new worker did not stay up.
    RollCancelled {
        /// The new worker.
        worker: WorkerId,
    },
    /// The first worker has been up for 3 s and has not spoken the worker protocol.
    StillSilent {
        /// The worker.
        worker: WorkerId,
    },
    /// An attempt of a job failed, and another one follows.
    Retried {
        /// The job's number.
        id: u64,
        /// The attempt that failed.
        attempt: Attempt,
        /// When the next one comes.
        again: Again,
    },
    /// How many jobs are where; reported at most once a step.
    Jobs(Tally),
}

/// When a job is tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// After this delay.
    After(Duration),
    /// As soon as a fresh worker is there for it alone.
    Alone,
    /// Before all younger jobs: the attempt was not charged to it.
    Next,
}

/// How many jobs are where.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Jobs accepted so far. Each is also counted once in one of the other numbers but `retried`.
    pub accepted: u64,
    /// Jobs that are done.
    pub ok: u64,
    /// Jobs that failed for good, those that were too long included.
    pub failed: u64,
    /// Jobs in quarantine: their workers died of them.
    pub crashed: u64,
    /// Jobs that were left over when the run ended.
    pub not_run: u64,
    /// Jobs that wait to be sent, now or after a delay.
    pub queued: u64,
    /// Jobs that were sent to a worker and not answered.
    pub in_flight: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
}

impl Tally {
    /// The number of jobs that have ended, in whatever way.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.ok + self.failed + self.crashed + self.not_run
    }

    /// Whether some job failed or is in quarantine.
    #[must_use]
    pub fn has_failures(&self) -> bool {
        self.failed + self.crashed > 0
    }
}

/// The end of a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// The worker.
    pub worker: WorkerId,
    /// Its process; `None` if there never was one.
    pub pid: Option<i32>,
    /// Why it ended.
    pub cause: Cause,
    /// How it ended; `None` if its program never ran, or nobody saw the end.
    pub evidence: Option<Evidence>,
    /// What becomes of its slot.
    pub next: Next,
}

/// What becomes of a slot whose worker has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A new worker starts after this delay.
    Again(Duration),
    /// The worker's successor already has the slot.
    Replaced,
    /// The worker was to succeed another one, which is still there and keeps the slot.
    NotNeeded,
    /// No worker follows: the policy says so, or the run stops.
    Done,
    /// No worker follows: too many in a row died before they were ready.
    GaveUp,
}

/// Why a run stops early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShutdownReason {
    /// The supervisor received this signal.
    Signal(Signal),
    /// The reader of the supervisor's output has closed it.
    OutputClosed,
    /// The output cannot be written: the error number.
    OutputFailed(i32),
    /// A report cannot be written; a message said which and why.
    ReportFailed,
    /// The program cannot be started.
    CannotStart(StartFault),
    /// The program does not speak the worker protocol.
    NotAWorker(Silence),
    /// The time for the whole run is over.
    Deadline,
    /// As many jobs have ended as `--halt` or `--max-fail` says.
    Halted {
        /// Whether running jobs are stopped too.
        now: bool,
    },
    /// The journal can no longer be written; a message said why.
    JournalFailed,
    /// The input can no longer be read; a message said why.
    SourceFailed,
    /// A user asked for it by the control socket.
    Asked(Ending),
}

/// How a user asks a run to end by the control socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Running jobs finish, however long that takes.
    Drain,
    /// Running jobs have the grace period.
    Stop,
    /// Running jobs are stopped at once.
    Now,
}

/// How a program showed that it does not speak the worker protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Its workers ended before they had said anything.
    Ended(Status),
    /// Its workers broke the protocol, or said nothing.
    Fault(ProtocolFault),
}
