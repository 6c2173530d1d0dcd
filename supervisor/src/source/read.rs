//! How is an input read to its end? Blocking, by a thread: standard input is shared with others,
//! whom a descriptor that does not block would surprise.

use std::{
    fs::{self, File},
    io,
    os::fd::{AsFd, BorrowedFd},
    path::{Path, PathBuf},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{
    Outward, Supply,
    error::SourceError,
    lines::{Batches, Splitter, Unwanted},
    shown,
};
use process::stdout;

/// So much is asked for at a time.
pub(super) const READ_BYTES: usize = 256 << 10;

/// What standard input is called.
const STDIN: &str = "stdin";

/// What is read.
#[derive(Debug)]
pub(super) enum Input {
    Stdin,
    File(File, PathBuf),
    /// A pipe or device, to be opened by the thread: that may wait for its writer.
    Pipe(PathBuf),
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let failed = |error| SourceError::file(path, &error);
        let kind = fs::metadata(path).map_err(failed)?;
        if kind.is_dir() {
            return Err(failed(io::ErrorKind::IsADirectory.into()));
        }
        if stdout::goes_to(&kind) {
            return Err(SourceError::IsOutput(shown(path)));
        }
        if kind.is_file() {
            return Ok(Self::File(File::open(path).map_err(failed)?, path.into()));
        }
        Ok(Self::Pipe(path.into()))
    }

    pub(super) fn stdin() -> Result<Self, SourceError> {
        let kind = io::stdin().as_fd().try_clone_to_owned().map(File::from);
        match kind.and_then(|stdin| stdin.metadata()) {
            Ok(kind) if stdout::goes_to(&kind) => Err(SourceError::IsOutput(STDIN.into())),
            // What is the matter with it shows at the read.
            _ => Ok(Self::Stdin),
        }
    }

    /// Reads all of it.
    pub(super) fn read_all(
        self,
        splitter: Splitter,
        mut batches: Batches<Outward>,
    ) -> Result<(), Unwanted> {
        let (file, path) = match self {
            Self::Stdin => return to_end(&io::stdin(), Path::new(STDIN), splitter, batches),
            Self::File(file, path) => (Ok(file), path),
            Self::Pipe(path) => (File::open(&path), path),
        };
        match file {
            Ok(file) => to_end(&file, &path, splitter, batches),
            Err(error) => batches.say(Supply::Failed(SourceError::file(&path, &error))),
        }
    }
}

fn to_end(
    input: &impl AsFd,
    name: &Path,
    mut splitter: Splitter,
    mut batches: Batches<Outward>,
) -> Result<(), Unwanted> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match read(input.as_fd(), &mut buffer) {
            Ok(0) => {
                splitter.finish(&mut batches)?;
                return batches.say(Supply::Ended);
            }
            Ok(length) => splitter.split(&buffer[..length], &mut batches)?,
            Err(error) => {
                let error = SourceError::file(name, &error.into());
                return batches.say(Supply::Failed(error));
            }
        }
        batches.flush()?;
    }
}

/// Reads, also from what somebody else made non-blocking.
pub(super) fn read(input: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match nix::unistd::read(input, buffer) {
            Err(Errno::EAGAIN) => {
                let mut watched = [PollFd::new(input, PollFlags::POLLIN)];
                // An interrupted or failed wait shows at the next read.
                let _ = poll(&mut watched, PollTimeout::NONE);
            }
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
