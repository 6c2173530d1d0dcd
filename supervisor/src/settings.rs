//! What was a run asked to do? Validated values: once a [`Settings`] exists, nothing in it is
//! out of range and no `Option` means "the default".

use std::{ffi::OsString, path::PathBuf, str::FromStr, time::Duration};

use crate::{limits::Limits, signal::Signal};

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
    /// What becomes of the workers' output.
    pub output: Output,
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
    /// A file and whatever is appended to it, without end.
    Follow(PathBuf),
}

/// What ends a job in a file or on standard input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Separator {
    /// A line each; a carriage return before the newline is part of the job.
    Newline,
    /// A zero byte: `-0`.
    Nul,
}

/// A program and all it is started with.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file, looked up in the workers' `PATH` when it has no slash; then its arguments.
    pub argv: Vec<OsString>,
    /// Environment, complete.
    pub env: Vec<(OsString, OsString)>,
    /// The directory it starts in; a relative program is looked up from there.
    pub directory: Option<PathBuf>,
    /// Resource limits; `--memory` is among them as [`crate::limits::Resource::Data`].
    pub limits: Limits,
}

/// How many workers: 1 to [`Workers::MAX`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Workers(u32);

impl Workers {
    /// More are refused: a slip of the finger should not fill the process table.
    pub const MAX: u32 = 4096;

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

/// When a worker that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Never.
    Never,
    /// When it failed: any end but exit code 0.
    OnFailure,
    /// Always.
    Always,
}

/// How workers are replaced one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roll {
    /// The new one is ready before the old one is asked to end.
    StartFirst,
    /// The old one is gone before the new one starts: for those who own a port.
    StopFirst,
}

/// What becomes of the workers' output.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Output {
    /// Line by line with the worker's number in front.
    Lines {
        /// With the time in front of that.
        timestamps: bool,
    },
    /// The bytes as they come.
    Raw,
    /// One JSON record a line, and a record for each worker's end.
    Jsonl,
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
