//! Kills all descendants of this process, which must be a child-subreaper and may reap every child
//! it has. Orphaned descendants are reparented to it, so once it has no child, no descendant is
//! left.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::signalfd::SignalFd,
};
use pool::signal::Signal;

use super::table::ProcessTable;
use crate::{
    proc::{Stat, children, is_own},
    signals::signal_child,
    wait::{Children, reap_any, signal_if_same},
};

/// Time after which killed processes that the kernel still holds, in a read from a dead disk for
/// instance, are given up.
const GIVE_UP_AFTER: Duration = Duration::from_secs(2);
/// Time until the table is read again, in case killed processes had started children before they
/// died.
const READ_AGAIN_AFTER: Duration = Duration::from_millis(20);
/// The number of leftover processes that a report names at most.
const NAMES_MAX: usize = 16;

/// Kills and reaps all descendants, and repeats that until there is none. Returns the processes
/// that it found, without those that were already ending.
///
/// # Errors
/// The kernel refused to wait, for which it has no known reason.
pub fn kill_descendants(sigchld: &SignalFd) -> io::Result<Vec<Stat>> {
    let own = std::process::id().cast_signed();
    let until = Instant::now() + GIVE_UP_AFTER;
    let mut found: Vec<Stat> = Vec::new();
    while Instant::now() < until {
        // Processes that have ended already need not be listed.
        if let Children::None = reap_any(|_| {})? {
            break;
        }
        if !is_own() {
            // The descendants cannot be found.
            break;
        }
        let mut dying = Vec::new();
        // The children at once: processes that hop are gone before a whole table is read.
        for pid in children().unwrap_or_default().into_iter().rev() {
            let process = Stat::read(pid);
            signal_child(pid, Signal::KILL);
            dying.push(pid);
            found.extend(process.filter(|it| !it.is_ending() && !contains(&found, it)));
        }
        let table = ProcessTable::read();
        // Parents come first, so that none of them replaces a child that was killed.
        for process in table.descendants(own) {
            if process.is_child_of(own) {
                signal_child(process.pid, Signal::KILL);
                dying.push(process.pid);
            } else {
                signal_if_same(process, Signal::KILL);
            }
            if !process.is_ending() && !contains(&found, process) {
                found.push(process.clone());
            }
        }
        if let Children::None = reap_these(sigchld, dying)? {
            break;
        }
    }
    Ok(found)
}

/// Whether a process is among those already found.
#[must_use]
pub fn contains(found: &[Stat], process: &Stat) -> bool {
    found.iter().any(|known| known.is_same(process))
}

/// The short names of the first 16 processes, for a report of what a job left behind.
#[must_use]
pub fn names(found: Vec<Stat>) -> Vec<String> {
    found.into_iter().take(NAMES_MAX).map(|process| process.name).collect()
}

/// Reaps children until all of `dying` are reaped, for [`READ_AGAIN_AFTER`] at most.
fn reap_these(sigchld: &SignalFd, mut dying: Vec<i32>) -> io::Result<Children> {
    let until = Instant::now() + READ_AGAIN_AFTER;
    loop {
        // The signals are taken before the children are reaped: a child that ends after that
        // sends another.
        while let Ok(Some(_)) = sigchld.read_signal() {}
        let children = reap_any(|pid| dying.retain(|dying| *dying != pid))?;
        let left = until.saturating_duration_since(Instant::now());
        if children == Children::None || dying.is_empty() || left.is_zero() {
            return Ok(children);
        }
        let mut polled = [PollFd::new(sigchld.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left + Duration::from_millis(1));
        match poll(&mut polled, timeout.unwrap_or(PollTimeout::ZERO)) {
            Ok(_) | Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}
