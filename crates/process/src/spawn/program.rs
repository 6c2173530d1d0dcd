//! A program that is to be started.

use std::{ffi::OsString, path::PathBuf};

use pool::limits::Limits;

/// A program and everything it is started with.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file, then the arguments. A name without a slash is looked up in the `PATH` of `env`.
    pub argv: Vec<OsString>,
    /// The complete environment.
    pub env: Vec<(OsString, OsString)>,
    /// The working directory. A relative path of the program starts there.
    pub directory: Option<PathBuf>,
    /// The resource limits; `--memory` is among them as [`pool::limits::Resource::Data`].
    pub limits: Limits,
}
