//! Signals as requests. All signals arrive through one self-pipe: a handler writes the number of
//! the signal as a byte, and the reader turns each byte into a [`Request`]. The handler may run in
//! another process, the warden, which forwards signals this way.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{IntoRawFd, OwnedFd, RawFd},
};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use pool::signal::{Signal, fatal_if_unhandled};
use tokio::net::unix::pipe;

use super::handlers;

/// What a signal asks of this program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// End, because of this signal.
    Stop(Signal),
    /// SIGHUP: the terminal closed, or the workers are to be rolled. The caller decides which.
    HangUp,
    /// Print what is running.
    Report,
    /// Suspend this program and all that it runs, as for Ctrl-Z or for a read from the terminal in
    /// the background.
    Suspend,
    /// The other end of the pipe is closed, which means that the warden is dead.
    Abandoned,
}

/// The signals of a terminal that stop a process which does not handle them.
pub(super) const STOPPING: [Signal; 3] = [Signal::TSTP, Signal::TTIN, Signal::TTOU];

impl Request {
    /// The signal with which the request to end came. For a program that rolls no workers SIGHUP is
    /// such a request too.
    #[must_use]
    pub fn stop_signal(self) -> Option<Signal> {
        match self {
            Self::Stop(signal) => Some(signal),
            Self::HangUp => Some(Signal::HUP),
            Self::Report | Self::Suspend | Self::Abandoned => None,
        }
    }

    /// Any signal that would have ended this program asks it to end, unless it has a meaning of its
    /// own.
    fn from_byte(byte: u8) -> Option<Self> {
        Some(match Signal::from_number(i32::from(byte))? {
            Signal::HUP => Self::HangUp,
            Signal::USR1 => Self::Report,
            signal if STOPPING.contains(&signal) => Self::Suspend,
            signal => Self::Stop(signal),
        })
    }
}

/// The read end of the signal pipe, for a program that uses the runtime.
#[derive(Debug)]
pub struct Requests(pipe::Receiver);

impl Requests {
    /// Reads from the pipe that the warden writes to. Must be called in the runtime.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn from_pipe(pipe: OwnedFd) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(pipe).map(Self)
    }

    /// Waits for the next request.
    pub async fn next(&self) -> Request {
        loop {
            let mut byte = [0];
            let _ = self.0.readable().await;
            match self.0.try_read(&mut byte) {
                Ok(1..) => {}
                Ok(0) => return Request::Abandoned,
                Err(_) => continue,
            }
            if let Some(request) = Request::from_byte(byte[0]) {
                return request;
            }
        }
    }
}

/// The read end of the signal pipe, for a program without a runtime: one of its threads blocks in
/// the iterator.
#[derive(Debug)]
pub struct BlockingRequests(File);

impl BlockingRequests {
    /// Installs the handlers, once: from now on these signals become requests and do not end this
    /// process.
    ///
    /// # Errors
    /// No descriptors are left.
    pub fn open() -> io::Result<Self> {
        install().map(|pipe| Self(pipe.into()))
    }
}

impl Iterator for BlockingRequests {
    type Item = Request;

    /// Waits for the next request. (This process holds the write end too, so that reads neither end
    /// nor fail.)
    fn next(&mut self) -> Option<Request> {
        let mut byte = [0];
        loop {
            self.0.read_exact(&mut byte).ok()?;
            if let Some(request) = Request::from_byte(byte[0]) {
                return Some(request);
            }
        }
    }
}

/// Makes the signals of this process arrive through a pipe, and returns its read end.
fn install() -> io::Result<OwnedFd> {
    let (read, write) = signal_pipe()?;
    // Handlers live as long as the process, and so must the descriptor that they write to.
    handlers::write_signals_to(fatal_if_unhandled(), write.into_raw_fd())?;
    handlers::accept_sigchld()?;
    Ok(read)
}

/// Opens a signal pipe: its read end, and its write end, which does not block.
pub(crate) fn signal_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read.into(), write.into()))
}

/// Makes a warden write its signals to the pipe that its supervisor reads. The caller keeps `pipe`
/// open as long as the process lives. The signals of the terminal are among them: the warden can
/// resume a supervisor that has suspended itself.
pub(crate) fn forward_to_supervisor(pipe: RawFd) -> io::Result<()> {
    handlers::write_signals_to(fatal_if_unhandled().chain(STOPPING), pipe)
}

/// Makes a supervisor ignore the signals that its warden forwards, so that each arrives once. SIGXFSZ
/// is among them, so that a file that may not grow is an error of the write. (Programs that this
/// process starts get the default back.)
pub(crate) fn ignore_forwarded() {
    fatal_if_unhandled().chain([Signal::TSTP]).for_each(handlers::ignore);
    // Ignoring these would change what reads from and writes to a terminal do in the background.
    [Signal::TTIN, Signal::TTOU].into_iter().for_each(handlers::discard);
}
