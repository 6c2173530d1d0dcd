//! Signals to a launcher: a request to end, or the news that the launcher may have been suspended.
//! Any process of the same user can send both, so for how long it was suspended is not taken from the
//! signal.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
    },
};

/// The signals that ask a launcher to end.
const STOP_SIGNALS: [Signal; 4] =
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP, Signal::SIGQUIT];

/// The descriptor from which a launcher reads its signals. They stay blocked in the launcher;
/// commands start with none blocked.
#[derive(Debug)]
pub(super) struct Signals(SignalFd);

/// The signals that arrived since the last read.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Received {
    /// Whether the launcher is to end.
    pub(super) stop: bool,
    /// Whether the launcher was continued.
    pub(super) continued: bool,
}

impl Signals {
    pub(super) fn open() -> io::Result<Self> {
        let set: SigSet = STOP_SIGNALS.into_iter().chain([Signal::SIGCONT]).collect();
        set.thread_block()?;
        let flags = SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC;
        Ok(Self(SignalFd::with_flags(&set, flags)?))
    }

    /// Reads all pending signals.
    pub(super) fn receive(&self) -> Received {
        let mut received = Received::default();
        while let Ok(Some(signal)) = self.0.read_signal() {
            match i32::try_from(signal.ssi_signo) {
                Ok(libc::SIGCONT) => received.continued = true,
                _ => received.stop = true,
            }
        }
        received
    }

    /// Waits until `jobs` is readable or a signal asks the launcher to end, which a blocking read
    /// of jobs would not notice. Returns whether it was the signal.
    pub(super) fn stop_before(&self, jobs: BorrowedFd<'_>) -> io::Result<bool> {
        let mut polled = [jobs, self.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        loop {
            match poll(&mut polled, PollTimeout::NONE) {
                Ok(_) if self.receive().stop => return Ok(true),
                Ok(_) if polled[0].any().unwrap_or(false) => return Ok(false),
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
