//! The rules of a run: what the pool has to know of its settings.

use std::time::Duration;

use crate::{
    limits::Limits,
    rules::{JobRules, Restart, Roll},
    signal::Signal,
};

/// The rules of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The number of workers that are wanted.
    pub workers: u32,
    /// When a worker that ended is started again.
    pub restart: Restart,
    /// How workers are replaced one by one.
    pub roll: Roll,
    /// The grace period: the time from the stop signal to SIGKILL.
    pub grace: Duration,
    /// The stop signal.
    pub stop_signal: Signal,
    /// The resource limits of the workers. They are evidence of why a worker ended.
    pub limits: Limits,
    /// The rules for jobs; `None` for a run without.
    pub jobs: Option<JobRules>,
    /// Whether workers are launchers, so that the processes below a worker are one command's.
    pub runs_commands: bool,
    /// The longest job, in bytes; named in the message about a longer one.
    pub job_bytes_max: u64,
}
