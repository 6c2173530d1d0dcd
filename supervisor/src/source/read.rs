//! Reads an input to its end, with blocking reads in a thread. Stdin may be shared with other
//! processes, which would break if it became non-blocking.

use std::{
    fs::{self, File},
    io::{self, Seek},
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
    position::{Before, Position},
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
    let is_own = name != Path::new(STDIN);
    let (mut buffer, mut guard) = (vec![0; READ_BYTES], Guard::new(input, is_own));
    loop {
        let length = read(input.as_fd(), &mut buffer).map_err(io::Error::from);
        let checked = length.and_then(|length| Ok((length, guard.check(&buffer[..length])?)));
        match checked {
            Ok((_, Some((bytes, read)))) => {
                let name = printable(name);
                return batcher.send(Batch::Failed(SourceError::Shrunk { name, bytes, read }));
            }
            Ok((0, None)) => {
                splitter.finish(&mut batcher)?;
                return batcher.send(Batch::Ended);
            }
            Ok((length, None)) => splitter.split(&buffer[..length], &mut batcher)?,
            Err(error) => {
                return batcher.send(Batch::Failed(SourceError::file(name, &error)));
            }
        }
        batcher.flush()?;
    }
}

/// Notices when a regular file that is being read loses bytes. A file without a size, such as those
/// of `/proc`, is not watched.
struct Guard {
    file: Option<(File, Position)>,
    /// Whether the file is read by this process alone, so that it knows what is before its position.
    is_own: bool,
}

impl Guard {
    fn new(input: &impl AsFd, is_own: bool) -> Self {
        let file = input.as_fd().try_clone_to_owned().map(File::from);
        let has_size = |file: &File| file.metadata().is_ok_and(|it| it.is_file() && it.len() > 0);
        let file = file.ok().filter(has_size).and_then(|file| {
            let start = (&file).stream_position().ok()?;
            Some((file, Position::at(start)))
        });
        Self { file, is_own }
    }

    /// Checks the file after a piece was read, which is empty at the end of the file. Returns the
    /// size that the file had and the number of bytes that were read, if it has lost bytes.
    fn check(&mut self, piece: &[u8]) -> io::Result<Option<(u64, u64)>> {
        let Some((file, position)) = &mut self.file else { return Ok(None) };
        let is_whole = position.check(file)? == Before::Unchanged || !self.is_own;
        let (bytes, read) = (position.bytes() + position.unread(), position.bytes());
        let is_lost = match piece {
            // What is gone does not matter once it was read.
            [] => read < bytes && (!is_whole || file.metadata()?.len() < bytes),
            _ => !is_whole,
        };
        position.advance(piece);
        Ok(is_lost.then_some((bytes, read)))
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
