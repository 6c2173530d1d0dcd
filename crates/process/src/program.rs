//! A program as it is to be started, and how far its end reaches.

use std::{ffi::OsString, path::PathBuf};

use pool::limits::Limits;

/// A program and all it is started with.
#[derive(Clone, Debug)]
pub struct Program {
    /// The file, looked up in the workers' `PATH` when it has no slash; then its arguments.
    pub argv: Vec<OsString>,
    /// Environment, complete.
    pub env: Vec<(OsString, OsString)>,
    /// The directory it starts in; a relative program is looked up from there.
    pub directory: Option<PathBuf>,
    /// Resource limits; `--memory` is among them as [`pool::limits::Resource::Data`].
    pub limits: Limits,
}

/// How far the end of a worker, or of a command, reaches.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub enum Reach {
    /// To all that descends from it, in whatever session: its group is asked, and what is left of
    /// it when it has ended is killed.
    #[default]
    Tree,
    /// To its process group: what has left that is nobody's business.
    Group,
    /// To the process itself: its children are its own business.
    Leader,
}
