//! The events of a run: a closed list of everything that is reported. Every view (log, terminal,
//! metrics, reports) is computed from these events alone.

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
    /// A worker's program was executed.
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
    /// The supervisor begins to stop a worker, or kills it.
    Stopping {
        /// The worker.
        worker: WorkerId,
        /// Why it is stopped.
        why: StopReason,
        /// Whether it is killed now.
        kill: bool,
    },
    /// A worker was sent SIGKILL and still exists, because the kernel cannot end it yet. The
    /// supervisor stops waiting for it, and its slot may get another worker.
    Unkillable {
        /// The worker.
        worker: WorkerId,
    },
    /// The run stops before its workers or its jobs have ended by themselves.
    ShuttingDown {
        /// Why.
        reason: ShutdownReason,
    },
    /// A user paused the run: jobs that run finish, and no other job begins.
    Paused,
    /// A user resumed the run.
    Resumed,
    /// A roll ended before all workers were replaced, because a new worker died early.
    RollCancelled {
        /// The new worker.
        worker: WorkerId,
    },
    /// A worker has been up for 3 s, and no worker of the run has spoken the worker protocol yet.
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
        /// When the next attempt starts.
        again: Again,
    },
    /// A job has come further, according to its worker.
    Progress {
        /// The worker.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// The number of the attempt, from 1.
        attempt: u32,
        /// How far the job is.
        progress: Progress,
    },
    /// The number of jobs in each state; reported at most once a step.
    Jobs(Tally),
}

/// How far a job is, in the words of its worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Progress {
    /// The part that is done, in hundredths of a percent: 0 to 10000.
    pub permyriad: u16,
    /// A description for people; may be empty.
    pub note: Box<str>,
}

/// When a job gets its next attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Again {
    /// After this delay.
    After(Duration),
    /// As soon as a fresh worker is free: the job runs alone in it (an isolated retry).
    Alone,
    /// Before all younger jobs: the attempt was not charged to the job.
    Next,
}

/// The number of jobs in each state.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Tally {
    /// Jobs accepted so far. Each is also counted in exactly one of the other fields, except
    /// `retried`.
    pub accepted: u64,
    /// Jobs that are done.
    pub ok: u64,
    /// Jobs that failed for good, including those that were too long.
    pub failed: u64,
    /// Jobs in quarantine: their workers died or were killed too often.
    pub crashed: u64,
    /// Jobs that were begun and had no result when the run ended.
    pub interrupted: u64,
    /// Jobs that were never begun when the run ended.
    pub not_run: u64,
    /// Jobs that wait to be sent, now or after a delay.
    pub queued: u64,
    /// Jobs that were sent to a worker and not answered.
    pub in_flight: u64,
    /// Attempts that failed and were followed by another.
    pub retried: u64,
}

impl Tally {
    /// The number of jobs that have ended, whether done, failed, quarantined, interrupted or not run.
    #[must_use]
    pub fn settled(&self) -> u64 {
        self.done() + self.interrupted + self.not_run
    }

    /// The number of jobs that were done, whether well or not.
    #[must_use]
    pub fn done(&self) -> u64 {
        self.ok + self.failed + self.crashed
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
    /// Its process; `None` if none was created.
    pub pid: Option<i32>,
    /// Why it ended.
    pub cause: Cause,
    /// How it ended; `None` if its program never ran, or its exit status was not observed.
    pub evidence: Option<Evidence>,
    /// What becomes of its slot.
    pub next: Next,
}

/// What becomes of a slot whose worker has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Next {
    /// A new worker starts after this delay.
    Restart(Duration),
    /// The worker's successor already has the slot.
    Replaced,
    /// The worker was the replacement of another one, which still serves and keeps the slot.
    NotNeeded,
    /// No worker follows: the policy says so, or the run stops.
    Done,
    /// No worker follows: too many early deaths in a row.
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
    /// A report cannot be written; a message on stderr names it and the reason.
    ReportFailed,
    /// The program cannot be started.
    CannotStart(StartFault),
    /// The program does not speak the worker protocol.
    NotAWorker(Silence),
    /// The time for the whole run is over.
    Deadline,
    /// The number of jobs that `--halt` or `--max-fail` sets has ended.
    Halted {
        /// Whether running jobs are stopped too.
        now: bool,
        /// Whether that is what the run was for: enough jobs have succeeded, or have ended and none
        /// of them failed.
        is_goal: bool,
    },
    /// The journal can no longer be written; a message on stderr gives the reason.
    JournalFailed,
    /// The input can no longer be read; a message on stderr gives the reason.
    SourceFailed,
    /// A user requested it by the control socket.
    ByUser(Ending),
}

/// How a user asks a run to end by the control socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    /// Running jobs finish, however long that takes.
    Drain,
    /// Running jobs may finish within the grace period.
    Stop,
    /// Running jobs are stopped at once.
    Now,
}

/// How a program showed that it does not speak the worker protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Silence {
    /// Its workers ended before they wrote anything.
    Ended(Status),
    /// Its workers broke the protocol, or wrote nothing.
    Fault(ProtocolFault),
}
