//! How a run starts a command for each job, and what becomes of its output.

use std::{path::PathBuf, time::Duration};

use pool::signal::Signal;
use process::KillScope;

use crate::template::Template;

/// The commands of a run: a process for each job.
#[derive(Clone, Debug)]
pub struct Commands {
    /// What is run.
    pub template: Template,
    /// From asking a command to end to killing it.
    pub grace: Duration,
    /// The signal that asks.
    pub stop_signal: Signal,
    /// How far that goes.
    pub reach: KillScope,
    /// Whether the job's bytes are the command's standard input.
    pub stdin: bool,
    /// What becomes of its output.
    pub capture: Capture,
}

/// What becomes of a command's output.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Capture {
    /// It is kept until the command has ended: up to so many bytes of each stream, the head and
    /// the tail of it where there are more.
    Keep {
        /// Bytes.
        bytes_max: u64,
    },
    /// It comes out as it is written, line by line where that is asked for, and with the job's
    /// inputs in front of each.
    Pass {
        /// Whole lines only.
        lines: bool,
        /// With the inputs in front of each.
        tag: bool,
    },
    /// It goes straight to files in this directory: `17.stdout`, `17.stderr`; of a second
    /// attempt `17.2.stdout`.
    Files(PathBuf),
}
