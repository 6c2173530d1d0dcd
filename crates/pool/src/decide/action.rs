//! What the pool decides: actions, and the orders that they carry.

use super::input::Tick;
use crate::{
    event::{Event, WorkerId},
    job::{Outcome, Payload},
};

/// What is to be done about what happened; filled by one step, emptied before the next.
#[derive(Debug, Default)]
pub struct Actions {
    /// In this order.
    pub list: Vec<Action>,
    /// Jobs that have ended. They come before the list: what is told of a job is written first.
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

/// Why a job is to end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Cancelled {
    /// Its time is over.
    Timeout,
    /// Somebody wants that.
    Asked,
    /// What does it holds more memory than it may.
    Memory,
}

/// Something to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start this worker's process.
    Spawn(WorkerId),
    /// Send it jobs.
    Send {
        /// Who gets them.
        worker: WorkerId,
        /// Whether jobs recalled before these are to be declared forgotten.
        resume: bool,
        /// The jobs, in order.
        orders: Vec<Order>,
    },
    /// Let it start nothing more of what it was sent, and tell what it has started.
    Retract(WorkerId),
    /// Note that a job that was sent was not begun, and is not with that worker any more.
    Requeued {
        /// The job's number.
        id: u64,
    },
    /// Let it end the job it runs.
    Cancel {
        /// Who runs it.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Why.
        why: Cancelled,
    },
    /// See what a worker does, at half the time of its job, and when that is over: what it has used
    /// meanwhile tells.
    Examine {
        /// Who.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// Whether its time is over.
        is_over: bool,
    },
    /// See how much memory these hold.
    SampleMemory {
        /// Who.
        workers: Vec<WorkerId>,
        /// How much each may hold, in bytes: beyond that it is to be known exactly.
        limit: u64,
    },
    /// Tell it that there are no more jobs, and close the way they came.
    Dismiss(WorkerId),
    /// Do not start it after all, if its process has not been begun; then that is its end.
    Withdraw(WorkerId),
    /// Ask its process group to end, with the stop signal.
    Ask(WorkerId),
    /// Kill its process group.
    Kill(WorkerId),
    /// Tell everyone.
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

/// A job that a worker runs, or is about to.
#[derive(Clone, Copy, Debug)]
pub struct Running<'a> {
    /// Which worker.
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

/// Where a job stands that is not settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    /// With us, or sent and not begun.
    Waiting,
    /// With this worker, which runs it or is about to.
    Running(WorkerId),
}
