//! Plain data that several parts of the supervisor share, so that none of them has to import
//! another: commands to a run, their results, and pieces of workers' output.

mod control;
mod output;

pub use process::descriptors::TAIL_BYTES;

pub use self::{
    control::{ControlCommand, Done, InvalidWorkerName, Refusal, WorkerName},
    output::{OutputPiece, tag},
};
