//! The one door through which signals enter: each becomes a byte on a pipe, and each byte a
//! [`Request`]. The handler does nothing but write that byte; it may be another process's, the
//! warden's.

use std::{
    fs::File,
    io::{self, Read},
    mem::MaybeUninit,
    os::fd::{IntoRawFd, OwnedFd, RawFd},
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

use pool::signal::Signal;

/// What a signal asks of the supervisor. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Request {
    /// End the run.
    Stop(Signal),
    /// The terminal closed, or the workers shall be rolled: whoever knows the run decides.
    HangUp,
    /// Print what is running.
    Report,
    /// Stop for a while, with all that runs, as a shell's Ctrl-Z has it.
    Suspend,
    /// Nobody holds the outer end of the door any more: the warden is dead.
    Abandoned,
}

/// What ends a program that does not hear it.
const HEARD: [Signal; 5] = [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1];
/// What a warden hears: it can wake what was suspended.
const HEARD_BY_WARDEN: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::TSTP];

impl Request {
    /// The signal that a request to end came as; for a program with nothing to roll, a closed
    /// terminal is one too.
    #[must_use]
    pub fn stop_signal(self) -> Option<Signal> {
        match self {
            Self::Stop(signal) => Some(signal),
            Self::HangUp => Some(Signal::HUP),
            Self::Report | Self::Suspend | Self::Abandoned => None,
        }
    }

    /// What a byte of the pipe means.
    fn from_byte(byte: u8) -> Option<Self> {
        match Signal::from_number(i32::from(byte))? {
            Signal::HUP => Some(Self::HangUp),
            Signal::USR1 => Some(Self::Report),
            Signal::TSTP => Some(Self::Suspend),
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
        Self::from_door(open()?)
    }

    /// The inner side of a door whose outer one is somebody else's. To be called in the runtime.
    ///
    /// # Errors
    /// No descriptors left.
    pub fn from_door(pipe: OwnedFd) -> io::Result<Self> {
        pipe::Receiver::from_owned_fd(pipe).map(Self)
    }

    /// The next request.
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

/// The inner side of the door, for a program without a runtime: a thread of its own waits there.
#[derive(Debug)]
pub struct BlockingRequests(File);

impl BlockingRequests {
    /// Opens the door, once: see [`Requests::open`].
    ///
    /// # Errors
    /// No descriptors left.
    pub fn open() -> io::Result<Self> {
        open().map(|door| Self(door.into()))
    }
}

impl Iterator for BlockingRequests {
    type Item = Request;

    /// The next request. (We hold the other end ourselves, so it neither ends nor fails.)
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

/// A door of our own.
fn open() -> io::Result<OwnedFd> {
    let (read, write) = door()?;
    // Handlers live as long as the process, and so must the descriptor they write to.
    hear(&HEARD, write.into_raw_fd())?;
    accept_child_news()?;
    Ok(read)
}

/// The two sides of a door: the inner one to be read, the outer one for good.
pub(super) fn door() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = io::pipe()?;
    fcntl(&write, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok((read.into(), write.into()))
}

/// Lets what a warden hears go through this door.
pub(super) fn hear_as_warden(door: RawFd) -> io::Result<()> {
    hear(&HEARD_BY_WARDEN, door)
}

/// Hears nothing of what the warden hears: it comes through the door.
pub(super) fn leave_to_warden() {
    HEARD_BY_WARDEN.into_iter().for_each(ignore);
}

/// A file that may not grow is an error of the write, which is told, and no death. (Who is started
/// by us has the default again.)
pub(super) fn outlive_full_files() {
    ignore(Signal::XFSZ);
}

/// Signals ignored when we started stay ignored, as `nohup` and a shell's `&` expect. Those we
/// hear are unblocked.
fn hear(signals: &[Signal], door: RawFd) -> io::Result<()> {
    let mut unblocked = SigSet::empty();
    for signal in signals {
        if !is_ignored(*signal)? {
            write_on(*signal, door)?;
            unblocked.add(nix::sys::signal::Signal::try_from(signal.number())?);
        }
    }
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&unblocked), None)?)
}

/// SIGCHLD is set to its default: inherited as ignored, it would make the kernel throw our
/// children's exit codes away.
pub(super) fn accept_child_news() -> io::Result<()> {
    reset(libc::SIGCHLD);
    let news = SigSet::from(nix::sys::signal::Signal::SIGCHLD);
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&news), None)?)
}

/// Stops this process as Ctrl-Z does, or a write to the terminal from the background, until it is
/// continued. The kernel may find that nobody could do that (there is no shell), and then this
/// returns at once.
pub fn suspend(by: Signal) {
    let mut former = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction with no new action only fills in the old one.
    unsafe { libc::sigaction(by.number(), ptr::null(), former.as_mut_ptr()) };
    reset(by.number());
    raise(by);
    // SAFETY: puts back what sigaction has filled in.
    unsafe { libc::sigaction(by.number(), former.as_ptr(), ptr::null_mut()) };
}

/// Sends this signal to this thread, where nothing holds it back.
fn raise(signal: Signal) {
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal.number()) {
        let set = SigSet::from(signal);
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
        let _ = nix::sys::signal::raise(signal);
    }
}

/// Ends this process by a signal, so that whoever waits for it sees that. Where the signal has
/// no effect (as for PID 1), the exit code says it.
pub fn die_by(signal: Signal) -> ! {
    // Our own core would say nothing: it is the signal that was sent to us.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    reset(signal.number());
    raise(signal);
    std::process::exit(128 + signal.number());
}

fn write_on(signal: Signal, pipe: i32) -> io::Result<()> {
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

fn ignore(signal: Signal) {
    // SAFETY: to ignore a signal runs no code of ours.
    unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
}
