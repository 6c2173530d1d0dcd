//! By which rules is a run decided? What of its settings the pool has to know.

use std::time::Duration;

use crate::{
    limits::Limits,
    settings::{Depth, JobRules, Restart, Roll, Settings},
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

impl From<&Settings> for Policy {
    fn from(settings: &Settings) -> Self {
        let jobs = settings.jobs.as_ref();
        Self {
            workers: settings.workers.get(),
            restart: settings.restart,
            roll: settings.roll,
            grace: settings.grace,
            stop_signal: settings.stop_signal,
            limits: settings.program.limits.clone(),
            jobs: jobs.map(|jobs| paced(jobs.rules.clone())),
            runs_commands: jobs.is_some_and(|jobs| jobs.commands.is_some()),
            job_bytes_max: jobs.map_or(0, |jobs| jobs.job_bytes_max() as u64),
        }
    }
}

/// What is sent ahead begins before we hear how the one before it ended: too soon for a delay, and
/// for a command that a halt was to prevent.
fn paced(mut rules: JobRules) -> JobRules {
    let halts = rules.halt.is_some() && rules.depth == Depth::Ahead;
    if halts || !rules.delay.is_zero() {
        rules.depth = Depth::Fixed(1);
    }
    rules
}
