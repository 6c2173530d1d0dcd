//! What was a run asked to do? Validated values: once a [`Settings`] exists, nothing in it is
//! out of range and no `Option` means "the default".

mod commands;
mod journal;

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

pub use self::commands::{Capture, Commands};
pub use self::journal::{Journal, OnLost, Sync};
use pool::{
    Policy,
    rules::{Depth, JobRules, Restart, Roll},
    signal::Signal,
};
use process::{KillScope, Program};

use crate::endpoint::Endpoint;

/// Everything a run is asked to do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What each worker runs.
    pub program: Program,
    /// How many.
    pub workers: Workers,
    /// When a worker that ended is started again.
    pub restart: Restart,
    /// How workers are replaced one by one.
    pub roll: Roll,
    /// How long a worker may take to end when asked to.
    pub grace: Duration,
    /// How it is asked.
    pub stop_signal: Signal,
    /// How far that goes.
    pub reach: KillScope,
    /// What becomes of the workers' output.
    pub output: Output,
    /// What they are given to do; `None` for programs that are not.
    pub jobs: Option<Jobs>,
    /// Files that are written beside.
    pub reports: Vec<Report>,
    /// Where it is shown over HTTP.
    pub serve: Option<Endpoint>,
    /// By which name it can be asked and changed, besides the one that it gives itself.
    pub name: Option<String>,
    /// The socket of the service manager that is told how it fares.
    pub notify: Option<OsString>,
}

/// What workers that take jobs are given to do.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// Where jobs come from.
    pub source: JobSource,
    /// What ends each.
    pub separator: Separator,
    /// Whether outcomes come out in the order of the jobs.
    pub keep_order: bool,
    /// How it is shown how far they have come.
    pub progress: Progress,
    /// The longest frame, in bytes.
    pub frame_bytes_max: usize,
    /// What becomes of them.
    pub rules: JobRules,
    /// The command that is run for each; `None` where workers do them.
    pub commands: Option<Commands>,
    /// Where it is recorded what becomes of them.
    pub journal: Option<Journal>,
}

/// A file that tells of the run, beside what goes to stdout.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// A line for each attempt, in GNU parallel's columns and a few more.
    Joblog(PathBuf),
    /// The XML that test dashboards read.
    Junit(PathBuf),
    /// The records of `--format jsonl`.
    Jsonl(PathBuf),
    /// All that happens, as it happens.
    Events(PathBuf),
}

impl Jobs {
    /// The longest job: what a frame of it adds to its bytes is less than this.
    const AROUND_JOB_BYTES: usize = 256;

    /// Whether something depends on how much memory workers hold.
    #[must_use]
    pub fn watches_memory(&self) -> bool {
        self.rules.recycle.resident_bytes.is_some()
    }

    /// The longest job, in bytes.
    #[must_use]
    pub fn job_bytes_max(&self) -> usize {
        self.frame_bytes_max.saturating_sub(Self::AROUND_JOB_BYTES)
    }
}

/// How it is shown, on stderr, how far the jobs have come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// As a line that stays in its place on the terminal.
    Bar,
    /// As a line of its own every ten seconds.
    Plain,
    /// Not at all.
    None,
}

/// Where jobs come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobSource {
    /// A file, to its end.
    File(PathBuf),
    /// Standard input, to its end.
    Stdin,
    /// The command line.
    Arguments(Vec<OsString>),
    /// Lists on the command line: a job for each way to choose one of each, the last list
    /// running fastest. Those linked to one another are walked in step, to the end of the
    /// shortest.
    Product(Vec<Linked>),
    /// A file and whatever is appended to it, without end.
    Follow(PathBuf),
}

impl JobSource {
    /// How many jobs it has, where that is known before they are read.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Arguments(arguments) => Some(arguments.len() as u64),
            Self::Product(lists) => {
                let steps = |linked: &Linked| linked.iter().map(Vec::len).min().unwrap_or(0);
                let steps = lists.iter().map(|linked| steps(linked) as u64);
                Some(steps.fold(1, u64::saturating_mul))
            }
            Self::File(_) | Self::Stdin | Self::Follow(_) => None,
        }
    }
}

/// Lists of inputs that are walked in step; there is at least one.
pub type Linked = Vec<Vec<OsString>>;

/// What ends a job in a file or on standard input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separator {
    /// A line each; a carriage return before the newline is part of the job.
    Newline,
    /// A zero byte: `-0`.
    Nul,
}

/// How many workers: 1 to [`Workers::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workers(u32);

impl Workers {
    /// More are refused: a slip of the finger should not fill the process table.
    pub const MAX: u32 = 4096;
    /// A single one.
    pub const ONE: Self = Self(1);

    /// The number.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// As many as this process may use CPUs.
    #[must_use]
    pub fn auto() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(u32::try_from(cpus).map_or(Self::MAX, |cpus| cpus.min(Self::MAX)))
    }
}

/// A number of workers that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a number of workers: write 1 to {max}, or auto for one per CPU", max = Workers::MAX)]
pub struct WorkersError(String);

impl FromStr for Workers {
    type Err = WorkersError;

    fn from_str(text: &str) -> Result<Self, WorkersError> {
        match text.parse() {
            _ if text == "auto" => Ok(Self::auto()),
            Ok(count @ 1..=Self::MAX) => Ok(Self(count)),
            _ => Err(WorkersError(text.into())),
        }
    }
}

/// What becomes of the workers' output, and of replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Line by line with the worker's number in front; replies as they are.
    Lines {
        /// With the time in front of a line of output.
        timestamps: bool,
        /// With the job in front of a line of its reply.
        tag: bool,
    },
    /// The bytes as they come.
    Raw,
    /// What each command wrote, once it has ended.
    Grouped {
        /// With the inputs in front of each line.
        tag: bool,
    },
    /// Commands write to files: none comes out.
    Files,
    /// None comes out. With jobs, that is said of their replies.
    None,
    /// One JSON record a line, and a record for each worker's end or job.
    Jsonl,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_one_to_the_maximum_or_auto() {
        assert_eq!("4".parse::<Workers>().map(Workers::get), Ok(4));
        assert!("auto".parse::<Workers>().unwrap().get() >= 1);
        for text in ["0", "-1", "4097", "", "four", "1.5"] {
            let message = text.parse::<Workers>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("`{text}` is not a number of workers")),
                "{message}"
            );
        }
    }
}
