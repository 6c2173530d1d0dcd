//! A pseudo-terminal: the test holds the master side, the supervisor gets the other.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    os::{fd::OwnedFd, unix::fs::OpenOptionsExt},
};

use nix::{
    fcntl::OFlag,
    pty::{grantpt, posix_openpt, ptsname_r, unlockpt},
};

use super::{Run, tap::Tap};

pub(crate) struct Terminal {
    window: File,
    line: OwnedFd,
}

impl Terminal {
    /// Opens a pseudo-terminal. (`openpty` would leave the master inheritable.)
    pub(crate) fn open() -> Self {
        let window = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&window).unwrap();
        unlockpt(&window).unwrap();
        let path = ptsname_r(&window).unwrap();
        let mut options = OpenOptions::new();
        let line = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).unwrap();
        Self { window: OwnedFd::from(window).into(), line: line.into() }
    }

    /// The terminal itself, for programs as stdin or stdout.
    pub(crate) fn line(&self) -> OwnedFd {
        self.line.try_clone().unwrap()
    }

    /// Starts the run in a session with this controlling terminal.
    pub(crate) fn control(&self, run: Run) -> Run {
        run.under(["setsid", "--ctty"]).stdin(self.line())
    }

    /// Starts the run through a shell with this controlling terminal.
    pub(crate) fn control_through(&self, run: Run, shell: [&str; 3]) -> Run {
        run.under(["setsid", "--ctty"].iter().chain(&shell)).stdin(self.line())
    }

    /// Types keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.window.write_all(keys).unwrap();
    }

    /// The master side, to read from.
    pub(crate) fn window(&self) -> File {
        self.window.try_clone().unwrap()
    }

    /// Reads the output until no program has the terminal open.
    pub(crate) fn shown(&self) -> Tap {
        Tap::new(self.window())
    }

    /// Closes the master side. (Nothing may be reading from it.)
    pub(crate) fn close(self) {}
}
