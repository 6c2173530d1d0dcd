//! Plain data that several parts of the supervisor share, so that none of them has to import
//! another: what a run is, what a user may ask it to do, and pieces of workers' output.

mod command;
mod output;

pub use self::{
    command::{Command, Done, InvalidWorkerName, Refusal, WorkerName},
    output::OutputPiece,
};
