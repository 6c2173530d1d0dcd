//! Signal dispositions of this process: handlers that write to a pipe, ignored signals, and ending
//! or stopping by a signal.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::RawFd,
    ptr,
    sync::atomic::{AtomicBool, Ordering},
};

use nix::sys::{
    resource::{Resource, getrlimit, setrlimit},
    signal::{SigSet, SigmaskHow, Signal as Kernel, sigprocmask},
};
use pool::signal::Signal;

use super::requests::STOPPING;

/// Whether a request to suspend this program is on its way. Reads from a terminal in the background
/// send the signal again and again until the program is suspended.
static SUSPENDS: AtomicBool = AtomicBool::new(false);

/// Installs handlers that write each signal as a byte to `pipe`, and unblocks these signals.
/// Signals that were ignored when this process started stay ignored, as `nohup` and a shell's `&`
/// expect.
pub(super) fn write_signals_to(
    signals: impl Iterator<Item = Signal>,
    pipe: RawFd,
) -> io::Result<()> {
    let mut handled = Vec::new();
    for signal in signals {
        if !is_ignored(signal)? {
            write_signal_to(signal, pipe)?;
            handled.push(signal);
        }
    }
    unblock(&handled)
}

fn write_signal_to(signal: Signal, pipe: RawFd) -> io::Result<()> {
    let byte = signal.number().to_le_bytes()[0];
    let suspends = STOPPING.contains(&signal);
    let handler = move || {
        if suspends && SUSPENDS.swap(true, Ordering::SeqCst) {
            return;
        }
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

/// Notes that this program was suspended and resumed, so that it can be suspended again.
pub(crate) fn note_resumed() {
    SUSPENDS.store(false, Ordering::SeqCst);
}

/// Unblocks signals for this thread. The raw calls are needed because nix has no names for the
/// real-time signals.
fn unblock(signals: &[Signal]) -> io::Result<()> {
    let mut set = MaybeUninit::<libc::sigset_t>::zeroed();
    // SAFETY: sigemptyset initialises the set at the address given; the other functions read it, and
    // sigprocmask takes null where the former mask is of no interest.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        signals.iter().for_each(|signal| {
            libc::sigaddset(set.as_mut_ptr(), signal.number());
        });
        match libc::sigprocmask(libc::SIG_UNBLOCK, set.as_ptr(), ptr::null_mut()) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        }
    }
}

/// Sets SIGCHLD to its default and unblocks it. Where it was inherited as ignored, the kernel would
/// discard the exit codes of children.
pub(crate) fn accept_sigchld() -> io::Result<()> {
    reset(libc::SIGCHLD);
    let set = SigSet::from(Kernel::SIGCHLD);
    Ok(sigprocmask(SigmaskHow::SIG_UNBLOCK, Some(&set), None)?)
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
    let _ = unblock(&[signal]);
    // SAFETY: raise takes an integer, and the signal has its default action.
    unsafe { libc::raise(signal.number()) };
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

/// Lets a signal do nothing, unless it is ignored. To the kernel that is not the same.
pub(super) fn discard(signal: Signal) {
    extern "C" fn nothing(_: libc::c_int) {}
    if is_ignored(signal).is_ok_and(|is_ignored| is_ignored) {
        return;
    }
    // SAFETY: zeroes are an action without flags and with an empty mask. The handler does nothing,
    // and interrupted calls are restarted.
    unsafe {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed().assume_init();
        action.sa_sigaction = nothing as extern "C" fn(libc::c_int) as libc::sighandler_t;
        action.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal.number(), &raw const action, ptr::null_mut());
    }
}

pub(super) fn ignore(signal: Signal) {
    // SAFETY: an ignored signal runs no code of this process.
    unsafe { libc::signal(signal.number(), libc::SIG_IGN) };
}
