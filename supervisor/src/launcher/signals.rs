//! What do signals tell a launcher? That it is to end, or that it was stopped for a while.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
    unistd::getppid,
};

/// Those that ask it to end.
const ENDS: [Signal; 4] = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// They are blocked for good, and read; a command gets an empty mask.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

/// What was told since the last look.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Told {
    pub(super) asks_to_end: bool,
    /// That time counts for no limit.
    pub(super) stopped: Duration,
}

impl Signals {
    pub(super) fn open() -> io::Result<Self> {
        let set: SigSet = ENDS.into_iter().chain([Signal::SIGCONT]).collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// All that wait, whatever was sent, and however often.
    pub(super) fn hear(&self) -> Told {
        let mut told = Told::default();
        while let Ok(Some(signal)) = self.0.read_signal() {
            if i32::try_from(signal.ssi_signo) != Ok(libc::SIGCONT) {
                told.asks_to_end = true;
            } else if i32::try_from(signal.ssi_pid) == Ok(getppid().as_raw()) {
                // Whoever else wakes us does not say for how long we slept.
                told.stopped += Duration::from_millis(signal.ssi_ptr);
            }
        }
        told
    }

    /// Waits for what may be a job, or for being asked to end, which a read of jobs would not hear.
    pub(super) fn end_before(&self, jobs: BorrowedFd<'_>) -> io::Result<bool> {
        let mut watched = [jobs, self.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        loop {
            match poll(&mut watched, PollTimeout::NONE) {
                Ok(_) if self.hear().asks_to_end => return Ok(true),
                Ok(_) if watched[0].any().unwrap_or(false) => return Ok(false),
                Ok(_) | Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
