//! The ways in which example workers die.

#![expect(unsafe_code, reason = "signals")]

use std::{os::fd::AsRawFd, process};

/// Dies by this signal. Restores its default action first, since Rust's runtime handles some signals.
pub(crate) fn by_signal(signal: i32) -> ! {
    // SAFETY: the default action runs no code of this program, and raise takes an integer.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    wait_for_ever()
}

/// Waits until a signal ends the process.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        // SAFETY: pause takes no arguments and touches no memory.
        unsafe { libc::pause() };
    }
}

/// Dies as [`by`] describes, once the pipe has bytes to read, and leaves them unread.
#[allow(dead_code, reason = "not every example uses it")]
pub(crate) fn once_readable(pipe: &impl AsRawFd, how: Option<&str>) -> ! {
    let mut watched = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: poll gets one structure, which outlives the call.
    unsafe { libc::poll(&raw mut watched, 1, -1) };
    by(how)
}

/// Dies by the signal of this name, such as `SIGSEGV`, or exits with this code. The default is
/// SIGKILL; SIGSTOP only stops the process.
#[allow(dead_code, reason = "not every example uses it")]
pub(crate) fn by(how: Option<&str>) -> ! {
    let signals = [
        ("SIGKILL", libc::SIGKILL),
        ("SIGSEGV", libc::SIGSEGV),
        ("SIGABRT", libc::SIGABRT),
        ("SIGBUS", libc::SIGBUS),
        ("SIGTERM", libc::SIGTERM),
        ("SIGSTOP", libc::SIGSTOP),
    ];
    let how = how.unwrap_or("SIGKILL");
    match signals.iter().find(|(name, _)| *name == how) {
        Some((_, signal)) => by_signal(*signal),
        None => process::exit(how.parse().unwrap_or(2)),
    }
}
