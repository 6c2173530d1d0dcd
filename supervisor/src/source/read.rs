//! Reads an input to its end, with blocking reads in a thread. Stdin may be shared with other
//! processes, which would break if it became non-blocking.

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

use process::stdout;

use super::{
    batch::{Batch, Disconnected, Sender},
    error::{SourceError, printable},
    split::{Batcher, Splitter},
};

/// Size of each read.
pub(super) const READ_BYTES: usize = 256 << 10;

/// Name of stdin in messages.
const STDIN: &str = "stdin";

/// An input to be read to its end.
#[derive(Debug)]
pub(super) enum Input {
    Stdin,
    File(File, PathBuf),
    /// A pipe or device, which the thread opens, because that may block until there is a writer.
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
            return Err(SourceError::IsOutput(printable(path)));
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
            // Other problems show when it is read.
            _ => Ok(Self::Stdin),
        }
    }

    /// Reads the whole input and sends its jobs.
    pub(super) fn read_all(
        self,
        splitter: Splitter,
        mut batcher: Batcher<Sender>,
    ) -> Result<(), Disconnected> {
        let (file, path) = match self {
            Self::Stdin => return to_end(&io::stdin(), Path::new(STDIN), splitter, batcher),
            Self::File(file, path) => (Ok(file), path),
            Self::Pipe(path) => (File::open(&path), path),
        };
        match file {
            Ok(file) => to_end(&file, &path, splitter, batcher),
            Err(error) => batcher.send(Batch::Failed(SourceError::file(&path, &error))),
        }
    }
}

fn to_end(
    input: &impl AsFd,
    name: &Path,
    mut splitter: Splitter,
    mut batcher: Batcher<Sender>,
) -> Result<(), Disconnected> {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match read(input.as_fd(), &mut buffer) {
            Ok(0) => {
                splitter.finish(&mut batcher)?;
                return batcher.send(Batch::Ended);
            }
            Ok(length) => splitter.split(&buffer[..length], &mut batcher)?,
            Err(error) => {
                let error = SourceError::file(name, &error.into());
                return batcher.send(Batch::Failed(error));
            }
        }
        batcher.flush()?;
    }
}

/// Reads, and waits for input if another process has made the descriptor non-blocking.
pub(super) fn read(input: BorrowedFd<'_>, buffer: &mut [u8]) -> nix::Result<usize> {
    loop {
        match nix::unistd::read(input, buffer) {
            Err(Errno::EAGAIN) => {
                let mut watched = [PollFd::new(input, PollFlags::POLLIN)];
                // Errors are ignored: the next read shows them.
                let _ = poll(&mut watched, PollTimeout::NONE);
            }
            Err(Errno::EINTR) => {}
            result => return result,
        }
    }
}
