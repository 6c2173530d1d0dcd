//! The specification of a process: everything that the exec helper needs to become the program.

use std::{
    ffi::OsStr,
    os::{fd::RawFd, unix::ffi::OsStrExt},
    path::Path,
};

use pool::limits::Limits;
use serde::{Deserialize, Serialize};

use super::program::Program;
use crate::descriptors::OpenFiles;

/// What the supervisor sends to an exec helper.
#[derive(Debug, Serialize, Deserialize)]
pub struct SpawnSpec {
    pub(super) argv: Vec<Vec<u8>>,
    /// Pairs of `NAME=value`.
    pub(super) env: Vec<Vec<u8>>,
    pub(super) directory: Option<Vec<u8>>,
    pub(super) limits: Limits,
    pub(super) open_files: OpenFiles,
    /// The process id of the supervisor. The kernel kills the program when the supervisor dies.
    pub(super) parent: i32,
    /// The number that each passed descriptor gets in the program, in the order of passing.
    pub(super) fd_numbers: Vec<RawFd>,
    /// The arguments of the function of this executable that is run instead of a program.
    pub(super) built_in: Option<Vec<u8>>,
    /// The name of a variable, and what its value holds after the process id of the program, which
    /// only the helper knows.
    pub(super) announced: Option<(String, String)>,
}

impl SpawnSpec {
    /// Specifies a process that executes `program`. The passed descriptors get these numbers in the
    /// program. Standard input is `/dev/null` unless 0 is among the numbers.
    #[must_use]
    pub fn new(program: &Program, open_files: OpenFiles, fd_numbers: &[RawFd]) -> Self {
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        let pair = |name: &OsStr, value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
        Self {
            argv: program.argv.iter().map(|arg| bytes(arg)).collect(),
            env: program.env.iter().map(|(name, value)| pair(name, value)).collect(),
            directory: program.directory.as_deref().map(Path::as_os_str).map(bytes),
            limits: program.limits.clone(),
            open_files,
            parent: std::process::id().cast_signed(),
            fd_numbers: fd_numbers.to_vec(),
            built_in: None,
            announced: None,
        }
    }

    /// Sets this variable to the process id of the program, followed by `value`. Descendants of the
    /// program inherit the variable; by the process id they find the descriptors of the program.
    pub fn announce(&mut self, name: &str, value: &str) {
        self.announced = Some((name.into(), value.into()));
    }

    /// Removes and returns the limits, for a built-in function that applies them itself.
    pub fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    /// Makes the helper run the built-in function of this executable, with these arguments, instead
    /// of a program. The function gets the passed descriptors without fixed numbers.
    pub fn make_built_in(&mut self, arguments: Vec<u8>) {
        self.built_in = Some(arguments);
        self.fd_numbers.clear();
    }

    /// Sets a variable in the environment of the program.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}=");
        self.env.retain(|pair| !pair.starts_with(entry.as_bytes()));
        self.env.push((entry + value).into_bytes());
    }
}
