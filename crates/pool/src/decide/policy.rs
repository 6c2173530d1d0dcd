//! The settings of a run that the pool needs for its decisions.

use std::time::Duration;

use crate::{
    limits::Limits,
    rules::{Intensity, JobRules, Restart, Roll},
    signal::Signal,
};

/// The settings of a run on which decisions depend.
#[derive(Clone, Debug)]
pub struct Policy {
    /// The wanted number of workers.
    pub workers: u32,
    /// Whether a worker that ended is started again.
    pub restart: Restart,
    /// When a slot whose workers crash is given up.
    pub intensity: Intensity,
    /// How workers are replaced one by one.
    pub roll: Roll,
    /// The grace period: the time from the stop signal to SIGKILL.
    pub grace: Duration,
    /// The stop signal.
    pub stop_signal: Signal,
    /// The resource limits of the workers. They help to judge why a worker ended.
    pub limits: Limits,
    /// The rules for jobs; `None` for a run without jobs.
    pub jobs: Option<JobRules>,
    /// Whether workers are launchers, so that the processes below a worker belong to one command.
    pub runs_commands: bool,
    /// The largest allowed job, in bytes. It appears in the message about a longer one.
    pub job_bytes_max: u64,
}
