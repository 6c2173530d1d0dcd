//! Waits for changes of a file with inotify: of the file itself, and of the names in its directory.
//! On a network file system, inotify reports only changes made by this machine.

use std::{
    fs::{self, File},
    io::PipeReader,
    os::fd::{AsFd, AsRawFd},
    path::{self, Path},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

/// An inotify instance. Watching the same path twice has no effect.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    file: Option<WatchDescriptor>,
}

/// Why a wait ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Wake {
    /// Something may have changed. The caller must look at the file, because events may be lost or
    /// out of date.
    Changed,
    /// Nothing has changed for the given time.
    Quiet,
    /// The source was dropped.
    Closed,
}

impl Watch {
    pub(super) fn new() -> nix::Result<Self> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC)?, file: None })
    }

    /// Watches the directory of a file; for a symbolic link, also the directory of its target.
    pub(super) fn directories(&self, path: &Path) -> nix::Result<()> {
        self.inotify.add_watch(directory(path), names())?;
        if let Ok(target) = fs::canonicalize(path) {
            self.inotify.add_watch(directory(&target), names())?;
        }
        Ok(())
    }

    /// Watches for the return of a file whose directory may be gone, too. Watches each ancestor,
    /// from the root on, so that no directory can appear unnoticed after its parent was checked.
    pub(super) fn ancestors(&self, path: &Path) -> nix::Result<()> {
        let Ok(path) = path::absolute(path) else { return self.directories(path) };
        let ancestors: Vec<_> = path.ancestors().skip(1).collect();
        for directory in ancestors.into_iter().rev() {
            match self.inotify.add_watch(directory, names()) {
                // A directory without read permission cannot be watched, but others can.
                Ok(_) | Err(Errno::EACCES) => {}
                Err(Errno::ENOENT | Errno::ENOTDIR) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Watches this file instead of the one before. Uses the descriptor, because the name may
    /// already belong to another file.
    pub(super) fn file(&mut self, file: &File) -> nix::Result<()> {
        if let Some(old) = self.file.take() {
            // Fails if the file is gone and the watch with it.
            let _ = self.inotify.rm_watch(old);
        }
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.file = Some(self.inotify.add_watch(path.as_str(), changes())?);
        Ok(())
    }

    /// Reports also when a program closes the watched file after writing.
    pub(super) fn closing(&self, file: &File) -> nix::Result<()> {
        let mask = changes() | AddWatchFlags::IN_CLOSE_WRITE;
        self.inotify.add_watch(format!("/proc/self/fd/{}", file.as_raw_fd()).as_str(), mask)?;
        Ok(())
    }

    /// Waits until something changes, nothing has changed for the time `quiet`, or the other end of
    /// `closed` is closed.
    pub(super) fn wait(&self, closed: &PipeReader, quiet: Option<Duration>) -> nix::Result<Wake> {
        let timeout = match quiet {
            Some(quiet) => PollTimeout::try_from(quiet).unwrap_or(PollTimeout::MAX),
            None => PollTimeout::NONE,
        };
        loop {
            let mut watched = [
                PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
                PollFd::new(closed.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, timeout) {
                Ok(0) => return Ok(Wake::Quiet),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
                Ok(_) if watched[1].any() == Some(true) => return Ok(Wake::Closed),
                Ok(_) => return self.inotify.read_events().map(|_| Wake::Changed),
            }
        }
    }
}

/// Returns the events of a file to watch.
fn changes() -> AddWatchFlags {
    AddWatchFlags::IN_MODIFY
        | AddWatchFlags::IN_ATTRIB
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_DELETE_SELF
}

/// Returns the events of a directory to watch: only changes of names, since changes of other files
/// would wake the thread for nothing.
fn names() -> AddWatchFlags {
    AddWatchFlags::IN_CREATE
        | AddWatchFlags::IN_MOVE
        | AddWatchFlags::IN_DELETE
        | AddWatchFlags::IN_DELETE_SELF
        | AddWatchFlags::IN_MOVE_SELF
        | AddWatchFlags::IN_ONLYDIR
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
