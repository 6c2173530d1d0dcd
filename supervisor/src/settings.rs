//! Settings of a run. They are validated: nothing in a [`Settings`] is out of range, and no `Option`
//! means "the default".

mod command;
#[cfg(feature = "journal")]
mod identity;
mod journal;

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

#[cfg(feature = "journal")]
pub use self::identity::Identity;
#[cfg(feature = "journal")]
pub use self::journal::{OnLost, Sync};
pub use self::{
    command::{Capture, CommandSettings},
    journal::Journal,
};
use pool::{
    Policy,
    rules::{Intensity, JobRules, Prefetch, Restart, Roll},
    signal::Signal,
};
use process::{KillScope, Program};

use crate::endpoint::Endpoint;

/// All settings of a run.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program of each worker.
    pub program: Program,
    /// Number of workers.
    pub workers: Workers,
    /// When a worker that has ended is started again.
    pub restart: Restart,
    /// When a slot whose workers crash is given up.
    pub intensity: Intensity,
    /// How a roll replaces workers.
    pub roll: Roll,
    /// Time between the stop signal and SIGKILL.
    pub grace: Duration,
    /// The signal that asks a worker to stop.
    pub stop_signal: Signal,
    /// Which processes a signal reaches.
    pub kill_scope: KillScope,
    /// What happens to the output of workers, and to replies.
    pub output: Output,
    /// Settings of jobs; `None` for programs without jobs.
    pub jobs: Option<Jobs>,
    /// Files to write beside stdout.
    pub reports: Vec<Report>,
    /// Where to serve the run over HTTP.
    pub serve: Option<Serve>,
    /// Name under which the run can be controlled, in addition to its id.
    pub name: Option<String>,
    /// The service manager that started the supervisor.
    pub notify: Option<Notify>,
}

/// Where a run is served over HTTP.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Serve {
    /// The address.
    pub endpoint: Endpoint,
    /// Names of the host in addition to those that the server knows.
    pub hosts: Vec<String>,
}

/// What a service manager wants to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Notify {
    /// Its socket.
    pub socket: OsString,
    /// The longest time between two signs of life; `None` if it wants none.
    pub watchdog: Option<Duration>,
}

/// Settings of a run with jobs.
#[derive(Clone, Debug)]
pub struct Jobs {
    /// Where jobs come from.
    pub source: JobSource,
    /// What ends each job in the input.
    pub separator: Separator,
    /// Whether outcomes are written in the order of the jobs.
    pub keep_order: bool,
    /// How progress is shown.
    pub progress: Progress,
    /// How workers are sent jobs and answer them.
    pub wire: Wire,
    /// Longest frame or line to or from a worker, in bytes.
    pub frame_bytes_max: usize,
    /// Rules about attempts, retries and limits.
    pub rules: JobRules,
    /// The command to run for each job; `None` if workers take the jobs.
    pub commands: Option<CommandSettings>,
    /// The journal of the run.
    pub journal: Option<Journal>,
}

/// A file to write during the run.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Report {
    /// A line for each attempt, with the columns of GNU parallel and three more.
    Joblog(PathBuf),
    /// JUnit XML.
    Junit(PathBuf),
    /// The records of `--format jsonl`.
    Jsonl(PathBuf),
    /// All events, as they happen.
    Events(PathBuf),
}

impl Jobs {
    /// Upper bound of the bytes that a frame adds to a job.
    const AROUND_JOB_BYTES: usize = 256;

    /// The resident memory at which a worker is recycled, in bytes.
    #[must_use]
    pub fn recycle_bytes(&self) -> Option<u64> {
        self.rules.recycle.resident_bytes
    }

    /// Returns the size of the longest job, in bytes.
    #[must_use]
    pub fn job_bytes_max(&self) -> usize {
        self.frame_bytes_max.saturating_sub(Self::AROUND_JOB_BYTES)
    }
}

/// How workers are sent jobs and answer them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wire {
    /// In the frames of the worker protocol.
    Frames,
    /// As lines: a job on the worker's stdin, and its reply on the worker's stdout.
    Lines,
}

/// How progress is shown on stderr.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Progress {
    /// A line on the terminal that is redrawn in place.
    Bar,
    /// A new line every ten seconds.
    Plain,
    /// No progress.
    None,
}

/// Where jobs come from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobSource {
    /// A file, to its end.
    File(PathBuf),
    /// Stdin, to its end.
    Stdin,
    /// Arguments of the command line.
    Arguments(Vec<OsString>),
    /// Lists on the command line: one job for each combination, in which the last list varies
    /// fastest. Linked lists are walked in step, to the end of the shortest.
    Product(Vec<Linked>),
    /// A file and everything that is appended to it, without end.
    Follow(PathBuf),
}

impl JobSource {
    /// Returns the number of jobs, if it is known before they are read.
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

/// Lists of inputs that are walked in step; at least one.
pub type Linked = Vec<Vec<OsString>>;

/// What ends a job in a file or on standard input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separator {
    /// A newline; a carriage return before it is part of the job.
    Newline,
    /// A zero byte (`-0`).
    Nul,
}

/// A number of workers, from 1 to [`Workers::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workers(u32);

impl Workers {
    /// Largest number: a typing error must not fill the process table.
    pub const MAX: u32 = 4096;
    /// One worker.
    pub const ONE: Self = Self(1);

    /// Returns the number of workers.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }

    /// Returns one worker per CPU that this process may use.
    #[must_use]
    pub fn auto() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self(u32::try_from(cpus).map_or(Self::MAX, |cpus| cpus.min(Self::MAX)))
    }
}

/// A text that is not a number of workers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a number of workers: write 1 to {max}, auto for one per CPU, +N or -N for N more \
     or fewer, or N%",
    max = Workers::MAX
)]
pub struct WorkersError(String);

impl FromStr for Workers {
    type Err = WorkersError;

    fn from_str(text: &str) -> Result<Self, WorkersError> {
        let cpus = Self::auto().0;
        let number = |text: &str| text.parse::<u32>().ok();
        let count = if text == "auto" {
            Some(cpus)
        } else if let Some(more) = text.strip_prefix('+') {
            number(more).map(|more| cpus.saturating_add(more))
        } else if let Some(fewer) = text.strip_prefix('-') {
            number(fewer).map(|fewer| cpus.saturating_sub(fewer).max(1))
        } else if let Some(share) = text.strip_suffix('%') {
            let share = number(share).filter(|share| *share > 0);
            share.map(|share| (cpus.saturating_mul(share) / 100).max(1))
        } else {
            number(text)
        };
        let count = count.filter(|count| (1..=Self::MAX).contains(count));
        count.map(Self).ok_or_else(|| WorkersError(text.into()))
    }
}

/// What happens to the output of workers, and to replies.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Output is written line by line with the number of the worker; replies are written as they
    /// are.
    Lines {
        /// Whether a line of output begins with the time.
        timestamps: bool,
        /// Whether a line of a reply begins with its job.
        tag: bool,
    },
    /// Bytes are written as they arrive.
    Raw,
    /// The output of each command is written once the command has ended.
    Grouped {
        /// Whether each line begins with the inputs of the job.
        tag: bool,
    },
    /// Commands write to files, and nothing is written to stdout.
    Files,
    /// Output is discarded; with jobs, replies are.
    None,
    /// JSON records are written, one per line.
    Jsonl,
}

impl From<&Settings> for Policy {
    fn from(settings: &Settings) -> Self {
        let jobs = settings.jobs.as_ref();
        Self {
            workers: settings.workers.get(),
            restart: settings.restart,
            intensity: settings.intensity,
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

/// Disables prefetching where it would break a rule. A prefetched job starts before the supervisor
/// knows how the one before it ended, which ignores a delay, and starts a command that a halt
/// should have prevented.
fn paced(mut rules: JobRules) -> JobRules {
    let halts = rules.halt.is_some() && rules.prefetch == Prefetch::Ahead;
    if halts || !rules.delay.is_zero() {
        rules.prefetch = Prefetch::Fixed(1);
    }
    rules
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_a_number_or_relative_to_the_cpus() {
        assert_eq!("4".parse::<Workers>().map(Workers::get), Ok(4));
        assert!("auto".parse::<Workers>().unwrap().get() >= 1);
        let cpus = Workers::auto().get();
        let expected =
            [("+1", cpus + 1), ("-4000", 1), ("-0", cpus), ("200%", cpus * 2), ("1%", 1)];
        for (text, count) in expected {
            assert_eq!(text.parse::<Workers>().map(Workers::get), Ok(count), "{text}");
        }
        for text in ["0", "--1", "+", "-", "%", "0%", "+4097", "4097", "", "four", "1.5"] {
            let message = text.parse::<Workers>().unwrap_err().to_string();
            assert!(
                message.starts_with(&format!("`{text}` is not a number of workers")),
                "{message}"
            );
        }
    }
}
