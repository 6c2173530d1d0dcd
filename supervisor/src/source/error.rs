//! Why can jobs not be read?

use std::{io, path::Path};

use super::shown;

/// Why jobs cannot be read, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// No such file.
    #[error("{0} is not there: check its name, or create it first")]
    Missing(String),
    /// A directory.
    #[error("{0} is a directory: name a file of jobs, one a line")]
    Directory(String),
    /// What the outcomes are written to.
    #[error(
        "{0}: input file is output file: what comes of the jobs would be jobs again; \
         send the output to another file"
    )]
    IsOutput(String),
    /// A pipe, device or socket.
    #[error("{0} cannot be followed, since it is no regular file: read it with --jobs-from")]
    NoFile(String),
    /// The kernel will not watch it.
    #[error(
        "cannot follow {name}: {reason}: close other programs that watch files, \
         or raise fs.inotify.max_user_instances and max_user_watches with sysctl"
    )]
    Unwatched {
        /// The file.
        name: String,
        /// The kernel's reason.
        reason: String,
    },
    /// The kernel will not let us read it.
    #[error("cannot read jobs from {name}: {reason}: check that it can be read with `head`")]
    Unreadable {
        /// The file, or `stdin`.
        name: String,
        /// The kernel's reason.
        reason: String,
    },
    /// No thread or pipe to be had.
    #[error("cannot start to read jobs: {0}: end other programs, or raise `ulimit -u` and `-n`")]
    NoThread(String),
    /// The thread that reads is gone without a word.
    #[error("the thread that reads jobs is gone: not all of them were read; please report this")]
    Lost,
}

impl SourceError {
    /// What opening or reading a file came to.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let name = shown(path);
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(name),
            io::ErrorKind::IsADirectory => Self::Directory(name),
            _ => Self::Unreadable { name, reason: reason(error) },
        }
    }

    pub(super) fn watch(path: &Path, error: &io::Error) -> Self {
        Self::Unwatched { name: shown(path), reason: reason(error) }
    }

    pub(super) fn thread(error: &io::Error) -> Self {
        Self::NoThread(reason(error))
    }
}

/// The kernel's words, without its number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).into()
}
