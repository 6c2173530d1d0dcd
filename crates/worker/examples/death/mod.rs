//! The ways in which our fixtures die.

#![expect(unsafe_code, reason = "signals")]

use std::{os::fd::AsRawFd, process};

/// Dies by this signal, which Rust's own runtime would otherwise take the first of.
pub(crate) fn by_signal(signal: i32) -> ! {
    // SAFETY: the default action runs no code of ours; raising takes an integer.
    unsafe {
        libc::signal(signal, libc::SIG_DFL);
        libc::raise(signal);
    }
    wait_for_ever()
}

/// Until something from outside ends it.
pub(crate) fn wait_for_ever() -> ! {
    loop {
        // SAFETY: pause takes nothing and touches nothing.
        unsafe { libc::pause() };
    }
}

/// Once there is something to be read, which it leaves unread.
#[allow(dead_code, reason = "not every fixture waits for it")]
pub(crate) fn once_readable(pipe: &impl AsRawFd, how: Option<&str>) -> ! {
    let mut watched = libc::pollfd { fd: pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one structure, which outlives the call.
    unsafe { libc::poll(&raw mut watched, 1, -1) };
    as_told(how)
}

/// Ends as told: `SIGSEGV` and the like, or an exit code; SIGSTOP only stops. By SIGKILL if
/// nothing is told.
#[allow(dead_code, reason = "not every fixture is told how")]
pub(crate) fn as_told(how: Option<&str>) -> ! {
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
