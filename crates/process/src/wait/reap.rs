//! Reaping children whose usage is of no interest, such as orphans that were reparented to this
//! process.

use std::io;

use nix::{
    errno::Errno,
    sys::{
        signal::{SigSet, Signal},
        signalfd::{SfdFlags, SignalFd},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

/// Opens a descriptor that becomes readable when a child ends, reparented children included, and
/// blocks SIGCHLD for the calling thread.
///
/// # Errors
/// No descriptors are left.
pub fn sigchld_fd() -> io::Result<SignalFd> {
    let set = SigSet::from(Signal::SIGCHLD);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Whether children are left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Children {
    /// There is no child.
    None,
    /// There are children, and all of them run.
    Running,
}

/// Reaps every child that has ended, and passes its number to `reaped`.
///
/// # Errors
/// The kernel refused to wait.
pub fn reap_any(mut reaped: impl FnMut(i32)) -> io::Result<Children> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Ok(Children::Running),
            Ok(status) => status.pid().into_iter().for_each(|pid| reaped(pid.as_raw())),
            Err(Errno::ECHILD) => return Ok(Children::None),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// The number of a child that has ended and is not reaped.
#[must_use]
pub fn first_ended() -> Option<i32> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags).ok()?.pid().map(Pid::as_raw)
}

/// Whether an unreaped child has ended.
#[must_use]
pub fn has_ended(pid: i32) -> bool {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    !matches!(waitid(Id::Pid(Pid::from_raw(pid)), flags), Ok(WaitStatus::StillAlive))
}

/// Reaps a child that nothing else reaps, if it has ended. Returns whether the child is gone.
#[must_use]
pub fn try_reap(pid: i32) -> bool {
    let status = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    !matches!(status, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}
