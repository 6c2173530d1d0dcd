//! What the pool decides: a closed list of actions. Each holds all that it takes to perform it.

use super::input::Tick;
use crate::{
    event::{Event, WorkerId},
    job::{Outcome, Payload},
};

/// The decisions of one step. The caller empties both lists before the next one.
#[derive(Debug, Default)]
pub struct Actions {
    /// Actions, in the order in which they are to be performed.
    pub list: Vec<Action>,
    /// Jobs that have ended. Their outcomes are written before the actions are performed, so
    /// before any event about them.
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

/// Something to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start a worker's process.
    Spawn(WorkerId),
    /// Send jobs to a worker.
    Send {
        /// The worker.
        worker: WorkerId,
        /// Whether jobs that were retracted before are to be declared forgotten first.
        resume: bool,
        /// The jobs, in order.
        orders: Vec<Order>,
    },
    /// Keep a worker from starting more of the jobs that it was sent, and report which job it
    /// started last.
    Retract(WorkerId),
    /// Record that a job that was sent was not begun, and is no longer with its worker.
    Requeued {
        /// The job's number.
        id: u64,
    },
    /// Ask a worker to end the job that it runs.
    Cancel {
        /// The worker.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Why it is to end.
        why: Cancelled,
    },
    /// Look at what a worker does: at half the time of its job and when that time is over. What it
    /// used in between shows what it is busy with.
    Examine {
        /// The worker.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Whether the job's time is over: then the second look is reported.
        is_over: bool,
    },
    /// Measure the memory of workers and all processes below them.
    SampleMemory {
        /// The workers.
        workers: Vec<WorkerId>,
        /// What each may hold, in bytes. Above that, shared pages are to be counted exactly.
        limit: u64,
    },
    /// Tell a worker that there are no more jobs, and close the pipe that they came by.
    Dismiss(WorkerId),
    /// Do not start a worker after all, if its process has not been begun: that is its end then.
    Withdraw(WorkerId),
    /// Send the stop signal to a worker's process group.
    Ask(WorkerId),
    /// Send SIGKILL to a worker's process group.
    Kill(WorkerId),
    /// Report an event to every view.
    Emit(Event),
}

/// A job, as it is sent to a worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Order {
    /// The job's number.
    pub id: u64,
    /// Which attempt of it, from 1.
    pub attempt: u32,
    /// What is to be done. A clone costs no allocation.
    pub payload: Payload,
}

/// Why a job is to end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// Its time is over.
    Timeout,
    /// A user cancelled it.
    Asked,
    /// Its command holds more memory than it may.
    Memory,
}

/// A job that a worker runs, or is about to run.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// The worker.
    pub worker: WorkerId,
    /// The job's number.
    pub id: u64,
    /// Which attempt of it, from 1.
    pub attempt: u32,
    /// What is to be done.
    pub payload: &'a Payload,
    /// When the attempt began, as far as the pool knows.
    pub since: Tick,
}

/// Where a job is that is not settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// It waits to be sent, or was sent and has not begun.
    Waiting,
    /// This worker runs it, or is about to.
    Running(WorkerId),
}
