//! Settings of the command that a run starts for each job, and of its output.

use std::{path::PathBuf, time::Duration};

use pool::signal::Signal;
use process::KillScope;

use crate::template::Template;

/// The command that a run starts for each job.
#[derive(Clone, Debug)]
pub struct CommandSettings {
    /// The command line with its placeholders.
    pub template: Template,
    /// Time between the stop signal and SIGKILL.
    pub grace: Duration,
    /// The signal that asks a command to stop.
    pub stop_signal: Signal,
    /// Which processes a signal reaches.
    pub kill_scope: KillScope,
    /// Whether the command reads the job from its stdin.
    pub stdin: bool,
    /// What happens to the output.
    pub capture: Capture,
}

/// What happens to the output of a command.
#[derive(Clone, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum Capture {
    /// Kept until the command has ended.
    Keep {
        /// The most bytes that are kept of each stream: of a longer one, its beginning and its
        /// end. `None` for all.
        bytes_max: Option<u64>,
    },
    /// Passed on as the command writes it.
    Pass {
        /// Whether only whole lines are passed on.
        lines: bool,
        /// Whether each line begins with the inputs of the job.
        tag: bool,
    },
    /// Written to files in this directory by the command itself: `17.stdout` and `17.stderr`, or
    /// `17.2.stdout` for a second attempt.
    Files(PathBuf),
}
