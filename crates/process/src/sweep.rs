//! How is every descendant of a process brought to its end? For a process that is a child-subreaper
//! and may reap whatever child it has: whoever loses his parent comes to it, so once it has no
//! child left, nothing is.

use std::{
    io,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{SigSet, Signal as Kernel},
        signalfd::{SfdFlags, SignalFd},
        wait::{Id, WaitPidFlag, WaitStatus, waitid, waitpid},
    },
    unistd::Pid,
};

use super::{
    census::{Census, Process},
    child,
};
use pool::signal::Signal;

/// What the kernel holds for longer, in the midst of a read of a dead disk, is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon it is looked again whether those that are killed had children meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The news that a child has ended, also one that was adopted. From now on this thread is not
/// interrupted by it.
///
/// # Errors
/// No descriptors left.
pub fn child_news() -> io::Result<SignalFd> {
    let set = SigSet::from(Kernel::SIGCHLD);
    set.thread_block()?;
    Ok(SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Kills all descendants and reaps them, and looks again until there is none; those that were
/// found, but for the ones that were ending anyway.
///
/// # Errors
/// The kernel refused to wait, which it has no reason to.
pub fn sweep(news: &SignalFd) -> io::Result<Vec<Process>> {
    let own = std::process::id().cast_signed();
    let until = Instant::now() + PATIENCE;
    let mut found: Vec<Process> = Vec::new();
    while Instant::now() < until {
        // Who has ended already need not be looked at.
        if let Reaped::None = reap_any(|_| {})? {
            break;
        }
        let census = Census::take();
        let mut dying = Vec::new();
        // Parents first: so none of them starts another in place of a child that was killed.
        for process in census.descendants(own) {
            if process.is_child_of(own) {
                child::signal_child(process.pid, Signal::KILL);
                dying.push(process.pid);
            } else {
                child::signal_if_still(process, Signal::KILL);
            }
            if !process.is_ending && !found.iter().any(|known| known.is_same(process)) {
                found.push(process.clone());
            }
        }
        if let Reaped::None = reap_all(news, dying)? {
            break;
        }
    }
    Ok(found)
}

/// Which children are left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reaped {
    /// None.
    None,
    /// Some that still run.
    Living,
}

/// Reaps every child that has ended, whoever it is.
///
/// # Errors
/// The kernel refused to wait.
pub fn reap_any(mut reaped: impl FnMut(i32)) -> io::Result<Reaped> {
    loop {
        match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
            Ok(WaitStatus::StillAlive) => return Ok(Reaped::Living),
            Ok(status) => status.pid().into_iter().for_each(|pid| reaped(pid.as_raw())),
            Err(Errno::ECHILD) => return Ok(Reaped::None),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Some child that has ended and is not reaped.
#[must_use]
pub fn first_ended() -> Option<i32> {
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    waitid(Id::All, flags).ok()?.pid().map(Pid::as_raw)
}

/// Reaps a child that is nobody else's to reap, if it has ended; whether it is gone.
#[must_use]
pub fn reap(pid: i32) -> bool {
    let status = waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG));
    !matches!(status, Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

/// Waits for those that were killed, and a moment at most: they may have had children meanwhile.
fn reap_all(news: &SignalFd, mut dying: Vec<i32>) -> io::Result<Reaped> {
    let until = Instant::now() + LOOK_AGAIN;
    loop {
        // Before the look at who has ended: who ends after it, is told anew.
        while let Ok(Some(_)) = news.read_signal() {}
        let reaped = reap_any(|pid| dying.retain(|dying| *dying != pid))?;
        let left = until.saturating_duration_since(Instant::now());
        if reaped == Reaped::None || dying.is_empty() || left.is_zero() {
            return Ok(reaped);
        }
        let mut watched = [PollFd::new(std::os::fd::AsFd::as_fd(news), PollFlags::POLLIN)];
        let patience = PollTimeout::try_from(left + Duration::from_millis(1));
        match poll(&mut watched, patience.unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
