//! When does a file change? When inotify says so: of the file, and of which names come and go in
//! its directory. (It tells what this machine does: what others do to a network's file system
//! goes unheard.)

use std::{
    fs::{self, File},
    io::PipeReader,
    os::fd::{AsFd, AsRawFd},
    path::{self, Path},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor},
};

/// What is watched. To watch something twice is to watch it once.
#[derive(Debug)]
pub(super) struct Watch {
    inotify: Inotify,
    file: Option<WatchDescriptor>,
}

/// What a wait came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// Look at the file: events may be lost or old, what is there is not.
    Something,
    /// Nobody is interested any more.
    Closed,
}

impl Watch {
    pub(super) fn new() -> nix::Result<Self> {
        Ok(Self { inotify: Inotify::init(InitFlags::IN_CLOEXEC)?, file: None })
    }

    /// Watches the directory of a file. With a symbolic link in the way there are two: the
    /// link's and the file's.
    pub(super) fn directories(&self, path: &Path) -> nix::Result<()> {
        self.inotify.add_watch(directory(path), names())?;
        if let Ok(target) = fs::canonicalize(path) {
            self.inotify.add_watch(directory(&target), names())?;
        }
        Ok(())
    }

    /// Watches for the return of a file whose directory may be gone as well: each directory on
    /// the way to it, from the root on, so that none can come unseen after its parent was there.
    pub(super) fn way_to(&self, path: &Path) -> nix::Result<()> {
        let Ok(path) = path::absolute(path) else { return self.directories(path) };
        let ancestors: Vec<_> = path.ancestors().skip(1).collect();
        for directory in ancestors.into_iter().rev() {
            match self.inotify.add_watch(directory, names()) {
                // One that we may pass but not list tells nothing; others may.
                Ok(_) | Err(Errno::EACCES) => {}
                Err(Errno::ENOENT | Errno::ENOTDIR) => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Watches this file instead of the one before. By descriptor: its name may be another's a
    /// moment later.
    pub(super) fn file(&mut self, file: &File) -> nix::Result<()> {
        if let Some(old) = self.file.take() {
            // What is gone already is watched no more.
            let _ = self.inotify.rm_watch(old);
        }
        let mask = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_DELETE_SELF;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        self.file = Some(self.inotify.add_watch(path.as_str(), mask)?);
        Ok(())
    }

    /// Waits until something happens, or the other end of `closed` is gone.
    pub(super) fn wait(&self, closed: &PipeReader) -> nix::Result<Heard> {
        loop {
            let mut watched = [
                PollFd::new(self.inotify.as_fd(), PollFlags::POLLIN),
                PollFd::new(closed.as_fd(), PollFlags::POLLIN),
            ];
            match poll(&mut watched, PollTimeout::NONE) {
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error),
                Ok(_) if watched[1].any() == Some(true) => return Ok(Heard::Closed),
                Ok(_) => return self.inotify.read_events().map(|_| Heard::Something),
            }
        }
    }
}

/// Of a directory: which names come and go. Not what becomes of the other files in it: that would
/// wake us for nothing.
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
