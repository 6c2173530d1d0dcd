//! The one door through which signals enter: each becomes a byte on a pipe, and each byte a
//! [`Request`]. The handler does nothing but write that byte.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{IntoRawFd, OwnedFd},
    ptr,
};

use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    sys::{
        resource::{Resource, getrlimit, setrlimit},
        signal::{SigSet, SigmaskHow, sigprocmask},
    },
};

use tokio::net::unix::pipe;

use crate::signal::Signal;

/// What a signal asks of the supervisor. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// End the run.
    Stop(Signal),
    /// The terminal closed, or the workers shall be rolled: whoever knows the run decides.
    HangUp,
    /// Print what is running.
    Report,
}

const HEARD: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1];

impl Request {
    /// The signal that a request to end came as; for a program with nothing to roll, a closed
    /// terminal is one too.
    #[must_use]
    pub fn stop_signal(self) -> Option<Signal> {
        match self {
            Self::Stop(signal) => Some(signal),
            Self::HangUp => Some(Signal::HUP),
            Self::Report => None,
        }
    }

    /// What a byte of the pipe means.
    fn from_byte(byte: u8) -> Option<Self> {
        match Signal::from_number(i32::from(byte))? {
            Signal::HUP => Some(Self::HangUp),
            Signal::USR1 => Some(Self::Report),
            signal @ (Signal::INT | Signal::QUIT | Signal::TERM) => Some(Self::Stop(signal)),
            _ => None,
        }
    }
}

/// The inner side of the door.
#[derive(Debug)]
pub struct Requests(pipe::Receiver);

impl Requests {
    /// Opens the door: from now on none of these signals ends this process by itself. To be
    /// called in the runtime, once.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn open() -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(open()?).map(Self)
    }

    /// The next request.
    pub async fn next(&self) -> Request {
        loop {
            let mut byte = [0];
            // We hold the other end ourselves, so it neither ends nor fails.
            let _ = self.0.readable().await;
            if let Ok(1) = self.0.try_read(&mut byte)
                && let Some(request) = Request::from_byte(byte[0])
            {
                return request;
            }
        }
    }
}

/// The descriptor to read requests from.
///
/// Signals ignored when we started stay ignored, as `nohup` and a shell's `&` expect. Those we
/// hear are unblocked, and SIGCHLD is set to its default: inherited as ignored, it would make
/// the kernel throw our workers' exit codes away.
fn open() -> io::Result<OwnedFd> {
    let (read, write) = io::pipe()?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    // Handlers live as long as the process, and so must the descriptor they write to.
    let write = OwnedFd::from(write).into_raw_fd();
    let mut unblocked = SigSet::empty();
    for signal in HEARD {
        if !is_ignored(signal)? {
            hear(signal, write)?;
            unblocked.add(nix::sys::signal::Signal::try_from(signal.number())?);
        }
    }
    reset(libc::SIGCHLD);
    unblocked.add(nix::sys::signal::Signal::SIGCHLD);
    sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&unblocked), None)?;
    Ok(read.into())
}

/// Ends this process by a signal, so that whoever waits for it sees that. Where the signal has
/// no effect (as for PID 1), the exit code says it.
pub fn die_by(signal: Signal) -> ! {
    // Our own core would say nothing: it is the signal that was sent to us.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    reset(signal.number());
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal.number()) {
        let mut set = SigSet::empty();
        set.add(signal);
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
        let _ = nix::sys::signal::raise(signal);
    }
    std::process::exit(128 + signal.number());
}

fn hear(signal: Signal, pipe: i32) -> io::Result<()> {
    let byte = signal.number().to_le_bytes()[0];
    let tell = move || {
        // SAFETY: write is async-signal-safe, and the byte outlives the call. A full pipe means
        // that as many requests wait already; the interrupted code must not see errno change.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(pipe, ptr::from_ref(&byte).cast(), 1);
            *libc::__errno_location() = errno;
        }
    };
    // SAFETY: the handler allocates nothing, takes no lock and calls only write.
    unsafe { signal_hook::low_level::register(signal.number(), tell) }?;
    Ok(())
}

fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction with no new action only fills in the old one.
    let action = unsafe {
        if libc::sigaction(signal.number(), ptr::null(), action.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        action.assume_init()
    };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn reset(signal: i32) {
    // SAFETY: the default action runs no code of ours.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
