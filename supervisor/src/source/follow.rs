//! Follows a file to which other programs append. Reads it to its end, and again each time the
//! kernel reports a change of the file or of its directory.

use std::{
    fs::{self, File, Metadata},
    io::{self, PipeReader, Seek},
    os::{fd::AsFd, unix::fs::MetadataExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nix::errno::Errno;
use process::descriptors::has_writer;

use super::{
    batch::{Batch, Disconnected, Sender},
    error::{SourceError, printable},
    position::{Before, Position},
    read::{Input, READ_BYTES, read},
    split::{Batcher, Splitter},
    watch::{Wake, Watch},
};

/// How long a file that has lost its name must be quiet before its successor is read, if a program
/// has it open for writing.
const REPLACED_QUIET: Duration = Duration::from_secs(1);
/// How long its successor waits for it at most.
const REPLACED_PATIENCE: Duration = Duration::from_secs(10);

/// A followed file. Watches are set before anything is read or compared, so that no change is
/// missed.
#[derive(Debug)]
pub(super) struct Followed {
    path: PathBuf,
    watch: Watch,
    file: File,
    position: Position,
    /// Whether zero bytes at the start of the file are skipped: a program that goes on writing at its
    /// old position after a truncation leaves them there.
    skips_zeros: bool,
    /// Whether the name is gone; a program that has the file open may still write to it.
    is_gone: bool,
}

/// What has happened to the file.
enum Change {
    None,
    Truncated,
    Rewritten,
    Gone,
    /// The name was gone and belongs to the same file again.
    Back,
    /// Another file has the name.
    Replaced(File),
}

/// Why reading stops.
enum Stop {
    Disconnected,
    Failed(SourceError),
}

impl From<Disconnected> for Stop {
    fn from(Disconnected: Disconnected) -> Self {
        Self::Disconnected
    }
}

impl From<SourceError> for Stop {
    fn from(error: SourceError) -> Self {
        Self::Failed(error)
    }
}

impl Followed {
    pub(super) fn open(path: &Path) -> Result<Self, SourceError> {
        let file = open(path)?;
        let refused = |error: Errno| SourceError::watch(path, &error.into());
        let mut watch = Watch::new().map_err(refused)?;
        watch.directories(path).and_then(|()| watch.file(&file)).map_err(refused)?;
        let (position, skips_zeros, is_gone) = (Position::default(), false, false);
        Ok(Self { path: path.into(), watch, file, position, skips_zeros, is_gone })
    }

    /// Reads the file and everything that is appended, until the source is dropped.
    pub(super) fn read_on(
        mut self,
        closed: &PipeReader,
        mut splitter: Splitter,
        mut batcher: Batcher<Sender>,
    ) -> Result<(), Disconnected> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            match self.step(closed, &mut buffer, &mut splitter, &mut batcher) {
                Ok(()) => {}
                Err(Stop::Disconnected) => return Err(Disconnected),
                Err(Stop::Failed(error)) => return batcher.send(Batch::Failed(error)),
            }
        }
    }

    /// Reads to the end, and then waits for a change or adapts to one.
    fn step(
        &mut self,
        closed: &PipeReader,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        self.read_to_end(buffer, splitter, batcher)?;
        match self.change()? {
            Change::None => match self.watch.wait(closed, None) {
                Ok(Wake::Changed | Wake::Quiet) => Ok(()),
                Ok(Wake::Closed) => Err(Stop::Disconnected),
                Err(error) => Err(self.failed(error).into()),
            },
            Change::Replaced(file) => {
                self.finish_replaced(closed, buffer, splitter, batcher)?;
                self.replace(file, splitter, batcher)
            }
            change => self.adapt(&change, splitter, batcher),
        }
    }

    /// Reads on, as long as what was read before is still there.
    fn read_to_end(
        &mut self,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        while self.before()? == Before::Unchanged {
            let length = read(self.file.as_fd(), buffer).map_err(|error| self.failed(error))?;
            if length == 0 {
                break;
            }
            let piece = &buffer[..length];
            self.position.advance(piece);
            let piece = self.without_zeros(piece, splitter, batcher)?;
            splitter.split(piece, batcher)?;
            batcher.flush()?;
        }
        Ok(())
    }

    fn before(&mut self) -> Result<Before, SourceError> {
        let checked = self.position.check(&self.file);
        checked.map_err(|error| SourceError::file(&self.path, &error))
    }

    /// Skips zero bytes at the start of a file that was truncated.
    fn without_zeros<'a>(
        &mut self,
        piece: &'a [u8],
        splitter: &Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<&'a [u8], Stop> {
        if !self.skips_zeros || splitter.separates_by_zero() {
            return Ok(piece);
        }
        let zeros = piece.iter().take_while(|byte| **byte == 0).count();
        if zeros < piece.len() {
            self.skips_zeros = false;
            let before = self.position.bytes() - (piece.len() - zeros) as u64;
            if before > 0 {
                let path = printable(&self.path);
                batcher.send(Batch::Notice(format!(
                    "{path} begins with {before} zero bytes, which are skipped: its writer must open \
                     it for appending"
                )))?;
            }
        }
        Ok(&piece[zeros..])
    }

    /// Reads what is still written to a file that has lost its name: until no program has it open
    /// for writing, or, where the kernel does not tell, until it was quiet for a while.
    fn finish_replaced(
        &mut self,
        closed: &PipeReader,
        buffer: &mut [u8],
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        let until = Instant::now() + REPLACED_PATIENCE;
        self.watch.closing(&self.file).map_err(|error| self.failed(error))?;
        loop {
            let has_writer = has_writer(&self.file).unwrap_or(true);
            self.read_to_end(buffer, splitter, batcher)?;
            let left = until.saturating_duration_since(Instant::now());
            if !has_writer || left.is_zero() {
                return Ok(());
            }
            match self.watch.wait(closed, Some(left.min(REPLACED_QUIET))) {
                Ok(Wake::Changed) => {}
                Ok(Wake::Quiet) => return Ok(()),
                Ok(Wake::Closed) => return Err(Stop::Disconnected),
                Err(error) => return Err(self.failed(error).into()),
            }
        }
    }

    /// Returns what has happened since the last check.
    fn change(&mut self) -> Result<Change, SourceError> {
        match self.before()? {
            Before::Unchanged => {}
            Before::Truncated => return Ok(Change::Truncated),
            Before::Rewritten => return Ok(Change::Rewritten),
        }
        let followed = self.file.metadata().map_err(|error| self.failed(error))?;
        if let Some(change) = self.named(&followed)? {
            return Ok(change);
        }
        // The directory may be gone, too, or may have been replaced. The name is checked again
        // after the ancestors are watched, because it may have returned before.
        let watched = self.watch.ancestors(&self.path);
        watched.map_err(|error| SourceError::watch(&self.path, &error.into()))?;
        let gone = if self.is_gone { Change::None } else { Change::Gone };
        Ok(self.named(&followed)?.unwrap_or(gone))
    }

    /// Compares the file that has the name now with the followed one; `None` if there is no file.
    fn named(&self, followed: &Metadata) -> Result<Option<Change>, SourceError> {
        // The inode number of an open file is not reused.
        let is_same =
            |other: &Metadata| (other.dev(), other.ino()) == (followed.dev(), followed.ino());
        let opened = match fs::metadata(&self.path) {
            Ok(named) if is_same(&named) => None,
            Ok(_) => Some(open(&self.path)),
            Err(error) => Some(Err(self.failed(error))),
        };
        match opened {
            Some(Ok(file)) if !is_same(&file.metadata().map_err(|error| self.failed(error))?) => {
                Ok(Some(Change::Replaced(file)))
            }
            Some(Err(SourceError::Missing(_))) => Ok(None),
            Some(Err(error)) => Err(error),
            _ if self.is_gone => Ok(Some(Change::Back)),
            _ => Ok(Some(Change::None)),
        }
    }

    fn adapt(
        &mut self,
        change: &Change,
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        let words = match change {
            Change::None | Change::Replaced(_) => return Ok(()),
            Change::Truncated => {
                let words = "was truncated; reading it from its start";
                return self.restart(words, splitter, batcher);
            }
            Change::Rewritten => {
                let words = "was rewritten; reading it from its start";
                return self.restart(words, splitter, batcher);
            }
            Change::Gone => {
                self.is_gone = true;
                "was removed; waiting for its return"
            }
            Change::Back => {
                self.is_gone = false;
                "is back; reading on"
            }
        };
        Ok(batcher.send(Batch::Notice(format!("{} {words}", printable(&self.path))))?)
    }

    /// Begins at the start of the same file.
    fn restart(
        &mut self,
        words: &str,
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        self.file.rewind().map_err(|error| self.failed(error))?;
        self.tell(words, self.position.unread(), splitter.restart(), batcher)?;
        (self.position, self.skips_zeros) = (Position::default(), true);
        Ok(())
    }

    /// Begins with another file.
    fn replace(
        &mut self,
        file: File,
        splitter: &mut Splitter,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        let was_gone = std::mem::take(&mut self.is_gone);
        let replaced = "was replaced; reading the new one from its start";
        let words = if was_gone { "is back; reading it from its start" } else { replaced };
        self.tell(words, 0, splitter.restart(), batcher)?;
        Ok(self.take(file)?)
    }

    /// Sends a message about a restart, with what is lost by it: bytes that were seen and not read,
    /// and a last line that had no end, which may be half of a job.
    fn tell(
        &self,
        words: &str,
        unread: u64,
        unended: u64,
        batcher: &mut Batcher<Sender>,
    ) -> Result<(), Stop> {
        let mut text = format!("{} {words}", printable(&self.path));
        if unread > 0 {
            text += &format!("; at least {unread} bytes were not read before and are lost");
        }
        if unended > 0 {
            text += &format!("; its last line, of {unended} bytes, had no end and is not run");
        }
        let is_loss = unread + unended > 0;
        Ok(batcher.send(if is_loss { Batch::Lost(text) } else { Batch::Notice(text) })?)
    }

    fn take(&mut self, file: File) -> Result<(), SourceError> {
        // If the directory is gone again, the next check shows it.
        let watched = match self.watch.directories(&self.path) {
            Err(error) if ![Errno::ENOENT, Errno::ENOTDIR].contains(&error) => Err(error),
            _ => self.watch.file(&file),
        };
        watched.map_err(|error| SourceError::watch(&self.path, &error.into()))?;
        (self.file, self.position, self.skips_zeros) = (file, Position::default(), false);
        Ok(())
    }

    fn failed(&self, error: impl Into<io::Error>) -> SourceError {
        SourceError::file(&self.path, &error.into())
    }
}

fn open(path: &Path) -> Result<File, SourceError> {
    match Input::open(path)? {
        Input::File(file, _) => Ok(file),
        _ => Err(SourceError::NoFile(printable(path))),
    }
}

#[cfg(test)]
mod tests;
