//! Signal dispositions of this process: handlers that write to a pipe, ignored signals, and ending
//! or stopping by a signal.

use std::{io, mem::MaybeUninit, os::fd::RawFd, ptr};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SigSet, SigmaskHow, Signal as Kernel, sigprocmask},
};
use pool::signal::Signal;

/// Installs handlers that write each signal as a byte to `pipe`, and unblocks these signals.
/// Signals that were ignored when this process started stay ignored, as `nohup` and a shell's `&`
/// expect.
pub(super) fn write_signals_to(signals: &[Signal], pipe: RawFd) -> io::Result<()> {
    let mut unblocked = SigSet::empty();
    for signal in signals {
        if !is_ignored(*signal)? {
            write_signal_to(*signal, pipe)?;
            unblocked.add(Kernel::try_from(signal.number())?);
        }
    }
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&unblocked), None)?)
}

fn write_signal_to(signal: Signal, pipe: RawFd) -> io::Result<()> {
    let byte = signal.number().to_le_bytes()[0];
    let handler = move || {
        // SAFETY: write is async-signal-safe, and the byte outlives the call. A full pipe means
        // that as many requests wait already. errno is restored, because the interrupted code may
        // be about to read it.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(pipe, ptr::from_ref(&byte).cast(), 1);
            *libc::__errno_location() = errno;
        }
    };
    // SAFETY: the handler allocates nothing, takes no lock and calls only write.
    unsafe { signal_hook::low_level::register(signal.number(), handler) }?;
    Ok(())
}

/// Sets SIGCHLD to its default and unblocks it. Where it was inherited as ignored, the kernel would
/// discard the exit codes of children.
pub(crate) fn accept_sigchld() -> io::Result<()> {
    reset(libc::SIGCHLD);
    let set = SigSet::from(Kernel::SIGCHLD);
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?)
}

/// Ignores SIGXFSZ, so that a file that may not grow is an error of the write and does not end this
/// process. (Programs that this process starts get the default back.)
pub(crate) fn ignore_file_size_signal() {
    ignore(Signal::XFSZ);
}

/// Stops this process by a signal, as Ctrl-Z does, until it is continued. Returns at once where the
/// kernel finds that no process could continue it, because there is no shell.
pub fn suspend(by: Signal) {
    let mut former = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction without a new action only fills in the old one.
    unsafe { libc::sigaction(by.number(), ptr::null(), former.as_mut_ptr()) };
    reset(by.number());
    raise(by);
    // SAFETY: the action is the one that sigaction has filled in.
    unsafe { libc::sigaction(by.number(), former.as_ptr(), ptr::null_mut()) };
}

/// Ends this process by a signal, so that its parent sees that signal. Where the signal has no
/// effect, as for PID 1, the exit code is 128 plus its number.
pub fn die_by(signal: Signal) -> ! {
    // A core dump of this process would explain nothing: another process sent the signal.
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_CORE) {
        let _ = setrlimit(Resource::RLIMIT_CORE, 0, hard);
    }
    reset(signal.number());
    raise(signal);
    std::process::exit(128 + signal.number());
}

/// Unblocks a signal and sends it to this thread.
fn raise(signal: Signal) {
    if let Ok(signal) = Kernel::try_from(signal.number()) {
        let set = SigSet::from(signal);
        let _ = sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None);
        let _ = nix::sys::signal::raise(signal);
    }
}

fn is_ignored(signal: Signal) -> io::Result<bool> {
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: sigaction without a new action only fills in the old one.
    let action = unsafe {
        if libc::sigaction(signal.number(), ptr::null(), action.as_mut_ptr()) != 0 {
            return Err(io::Error::last_os_error());
        }
        action.assume_init()
    };
    Ok(action.sa_sigaction == libc::SIG_IGN)
}

fn reset(signal: i32) {
    // SAFETY: the default action runs no code of this process.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}

pub(super) fn ignore(signal: Signal) {
    // SAFETY: an ignored signal runs no code of this process.
    unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
}
