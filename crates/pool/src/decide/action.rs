//! The actions that the pool decides on: a closed list. Each action holds everything that the
//! executor needs to perform it.

use super::input::Tick;
use crate::{
    event::{Event, WorkerId},
    job::{Outcome, Payload},
};

/// The decisions of one step. The caller empties both lists before the next step.
#[derive(Debug, Default)]
pub struct Actions {
    /// Actions, which the caller performs in this order.
    pub list: Vec<Action>,
    /// Outcomes of jobs that ended in this step. The caller writes them before it performs `list`,
    /// so that an outcome is written before any event that depends on it is reported.
    pub settled: Vec<Outcome>,
}

impl Actions {
    pub(super) fn push(&mut self, action: Action) {
        self.list.push(action);
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.list.push(Action::Emit(event));
    }
}

/// Something that the executor does on behalf of the pool.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start a worker's process.
    Spawn(WorkerId),
    /// Send jobs to a worker.
    Send {
        /// The worker.
        worker: WorkerId,
        /// Whether to send a resume frame first, at which the worker drops the retracted jobs that
        /// it reads before it.
        resume: bool,
        /// The jobs, in order.
        orders: Vec<Order>,
    },
    /// Retract jobs: prevent a worker from starting any more of the jobs that it was sent, and
    /// report which job it started last ([`News::Retracted`](super::input::News::Retracted)).
    Retract(WorkerId),
    /// Record in the journal that a job was sent to a worker, not started, and taken back.
    Requeued {
        /// The job's number.
        id: u64,
    },
    /// Send a worker the request to end the job that it runs.
    Cancel {
        /// The worker.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Why the job ends early.
        why: Cancelled,
    },
    /// Examine what the processes of a worker do: after half of the job's time limit and again at
    /// its end. The difference between the two shows why the job hangs.
    Examine {
        /// The worker.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Whether this is the second examination, at the time limit. Only that one is answered,
        /// with [`Input::Examined`](super::input::Input::Examined).
        is_over: bool,
    },
    /// Find out how long a worker has waited for a processor since its start, because it has not said
    /// hello in time. Answered with [`Input::StartExamined`](super::input::Input::StartExamined).
    ExamineStart(WorkerId),
    /// Measure the memory of workers and all processes below them.
    SampleMemory {
        /// The workers.
        workers: Vec<WorkerId>,
        /// The limit of each, in bytes. For a worker above it, the executor measures the
        /// proportional share of shared pages too.
        limit: u64,
    },
    /// Dismiss a worker: send it the end of its jobs and close its jobs pipe, so that it exits.
    Dismiss(WorkerId),
    /// Withdraw a start: if the worker's process was not created yet, do not create it, and report
    /// [`ProcessEnd::Withdrawn`](crate::exit::ProcessEnd::Withdrawn).
    Withdraw(WorkerId),
    /// Send the stop signal to a worker's process group.
    Ask(WorkerId),
    /// Send SIGKILL to a worker's process group.
    Kill(WorkerId),
    /// Report an event to every view.
    Emit(Event),
}

/// One attempt of a job, as it is sent to a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The job's number.
    pub id: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The job's bytes. A clone allocates nothing.
    pub payload: Payload,
}

/// Why a job ends early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// It reached its time limit.
    Timeout,
    /// A user cancelled it.
    ByUser,
    /// Its command holds more memory than the limit.
    Memory,
}

/// A job that a worker runs, or is about to run.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// The worker.
    pub worker: WorkerId,
    /// The job's number.
    pub id: u64,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The job's bytes.
    pub payload: &'a Payload,
    /// When the attempt began, as far as the pool can observe that.
    pub since: Tick,
}

/// Where an unfinished job is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It is queued, or waits in a worker behind another job.
    Waiting,
    /// This worker runs it, or will start it next.
    Running(WorkerId),
}
