//! A pseudo-terminal: the test holds the window, the supervisor sits before it.

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
    /// (Not by `openpty`: a program that inherits the window keeps it open.)
    pub(crate) fn open() -> Self {
        let window = posix_openpt(OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC).unwrap();
        grantpt(&window).unwrap();
        unlockpt(&window).unwrap();
        let path = ptsname_r(&window).unwrap();
        let mut options = OpenOptions::new();
        let line = options.read(true).write(true).custom_flags(libc::O_NOCTTY).open(path).unwrap();
        Self { window: OwnedFd::from(window).into(), line: line.into() }
    }

    /// The end that programs have as stdin or stdout.
    pub(crate) fn line(&self) -> OwnedFd {
        self.line.try_clone().unwrap()
    }

    /// Gives the run a session whose terminal this is.
    pub(crate) fn control(&self, run: Run) -> Run {
        run.under(["setsid", "--ctty"]).stdin(self.line())
    }

    /// The same, of a shell that starts it.
    pub(crate) fn control_through(&self, run: Run, shell: [&str; 3]) -> Run {
        run.under(["setsid", "--ctty"].iter().chain(&shell)).stdin(self.line())
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &[u8]) {
        self.window.write_all(keys).unwrap();
    }

    /// The window itself, to read from.
    pub(crate) fn window(&self) -> File {
        self.window.try_clone().unwrap()
    }

    /// Reads what is shown, until no program holds the terminal any more.
    pub(crate) fn shown(&self) -> Tap {
        Tap::new(self.window())
    }

    /// Closes the window. (Not while something is being read from it.)
    pub(crate) fn close(self) {}
}
