//! Pidfds: descriptors that stand for one process. They become readable when the process ends, and
//! a signal sent through one never hits another process.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd},
    ptr,
};

use pool::signal::Signal;

use crate::proc::Stat;

/// Opens a pidfd in non-blocking mode for the process that has this number now.
///
/// # Errors
/// There is no such process, or no descriptors are left.
pub fn pidfd(pid: i32) -> io::Result<OwnedFd> {
    // SAFETY: pidfd_open takes two integers and accesses no memory of this process.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid, libc::PIDFD_NONBLOCK) };
    let fd = RawFd::try_from(fd).map_err(io::Error::other)?;
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just created this descriptor, and nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a pidfd for a process if it is a child of `parent`. The caller got the number from
/// `parent`, which may be wrong or lie; the check keeps it from reaching unrelated processes.
#[must_use]
pub fn pidfd_of_child(pid: i32, parent: i32) -> Option<OwnedFd> {
    let pidfd = pidfd(pid).ok()?;
    Stat::read(pid).filter(|process| process.is_child_of(parent)).map(|_| pidfd)
}

/// Signals a process that was found in a process table, unless its number belongs to another
/// process by now.
pub fn signal_if_same(process: &Stat, signal: Signal) {
    // The descriptor is opened before the check: from then on it stands for the process checked.
    let Ok(pidfd) = pidfd(process.pid) else { return };
    if Stat::read(process.pid).is_some_and(|now| now.is_same(process)) {
        // Failure means that the process is gone.
        let _ = send(&pidfd, signal, 0);
    }
}

/// Sends a signal to the process behind this pidfd, and to no other of its group.
///
/// # Errors
/// The process is gone, or the system refused it.
pub fn signal_process(pidfd: impl AsFd, signal: Signal) -> io::Result<()> {
    match send(pidfd, signal, 0) {
        true => Ok(()),
        false => Err(io::Error::last_os_error()),
    }
}

/// Kills the process group of the process behind this pidfd, which need be neither a child nor
/// alive.
pub fn kill_group_of(pidfd: impl AsFd) {
    /// `PIDFD_SIGNAL_PROCESS_GROUP`, since Linux 6.9. Before, only the process itself can be hit
    /// safely.
    const PROCESS_GROUP: libc::c_uint = 1 << 2;
    for flags in [PROCESS_GROUP, 0] {
        if send(&pidfd, Signal::KILL, flags) {
            return;
        }
    }
}

/// Returns whether the kernel accepted the signal.
fn send(pidfd: impl AsFd, signal: Signal, flags: libc::c_uint) -> bool {
    let (pidfd, number) = (pidfd.as_fd().as_raw_fd(), signal.number());
    let none = ptr::null::<libc::siginfo_t>();
    // SAFETY: pidfd_send_signal takes integers, and null where no siginfo is given.
    unsafe { libc::syscall(libc::SYS_pidfd_send_signal, pidfd, number, none, flags) == 0 }
}
