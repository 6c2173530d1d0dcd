//! Errors of reading jobs. Each message names the input, the reason and the remedy.

use std::{io, path::Path};

use text::escape::visible;

/// Why jobs cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no such file.
    #[error("{0} is not there: check its name, or create it first")]
    Missing(String),
    /// The input is a directory.
    #[error("{0} is a directory: name a file of jobs, one a line")]
    Directory(String),
    /// The input is the file to which outcomes are written.
    #[error(
        "{0}: input file is output file: results would become jobs again; \
         send the output to another file"
    )]
    IsOutput(String),
    /// The file to follow is a pipe, device or socket.
    #[error("{0} cannot be followed, since it is no regular file: read it with --jobs-from")]
    NoFile(String),
    /// The kernel refuses to watch the file.
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
    /// The input cannot be opened or read.
    #[error("cannot read jobs from {name}: {reason}: check that it can be read with `head`")]
    Unreadable {
        /// The file, or `stdin`.
        name: String,
        /// The kernel's reason.
        reason: String,
    },
    /// The file lost jobs while it was read.
    #[error(
        "{name} was truncated or rewritten while jobs were read from it: it had {bytes} bytes, and \
         only the jobs in the first {read} were read; run the others from a file that does not change"
    )]
    Shrunk {
        /// The file, or `stdin`.
        name: String,
        /// Its largest size that was seen.
        bytes: u64,
        /// The number of bytes that were read before the change.
        read: u64,
    },
    /// A thread or a pipe cannot be created.
    #[error("cannot start to read jobs: {0}: end other programs, or raise `ulimit -u` and `-n`")]
    NoThread(String),
    /// The reading thread ended without reporting the end of the input.
    #[error("the thread that reads jobs is gone: not all of them were read; please report this")]
    Lost,
}

impl SourceError {
    /// Converts an error of opening or reading a file.
    pub(super) fn file(path: &Path, error: &io::Error) -> Self {
        let name = printable(path);
        match error.kind() {
            io::ErrorKind::NotFound => Self::Missing(name),
            io::ErrorKind::IsADirectory => Self::Directory(name),
            _ => Self::Unreadable { name, reason: reason(error) },
        }
    }

    pub(super) fn watch(path: &Path, error: &io::Error) -> Self {
        Self::Unwatched { name: printable(path), reason: reason(error) }
    }

    pub(super) fn thread(error: &io::Error) -> Self {
        Self::NoThread(reason(error))
    }
}

/// Formats a path so that it is safe to print.
pub(super) fn printable(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

/// Returns the message of the kernel without the error number.
fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).into()
}
