//! By which rules is a run decided? What of its settings the pool has to know.

use std::time::Duration;

use crate::{
    limits::Limits,
    rules::{JobRules, Restart, Roll},
    signal::Signal,
};

/// The rules of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How many slots.
    pub workers: u32,
    /// When a worker that ended is started again.
    pub restart: Restart,
    /// How workers are replaced one by one.
    pub roll: Roll,
    /// From asking a worker to end to killing it.
    pub grace: Duration,
    /// The signal that asks.
    pub stop_signal: Signal,
    /// The limits workers run under: evidence of why they end.
    pub limits: Limits,
    /// What becomes of jobs; `None` for a run without.
    pub jobs: Option<JobRules>,
    /// Whether they are commands: then a worker's descendants are one command's.
    pub runs_commands: bool,
    /// The longest job in bytes, for the message about a longer one.
    pub job_bytes_max: u64,
}
