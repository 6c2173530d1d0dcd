//! What did a command leave behind? Its orphans are the launcher's foster children, whatever they
//! called (setsid, a double fork, `env -i`): they are found, named, killed and reaped.

use std::{
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    poll::{PollFd, PollFlags},
    sys::signalfd::SignalFd,
};
use worker::ServeError;

use super::{
    running::poll_until,
    sys::{self, Reaped},
};
use crate::os::{child, procfs};

/// What the kernel holds for longer, in the midst of a read of a dead disk, is not waited for.
const PATIENCE: Duration = Duration::from_secs(2);
/// How soon it is looked again whether those that are killed had children meanwhile.
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// More are not named.
const NAMES_MAX: usize = 16;

/// Ends them all; their names.
pub(super) fn end(children: &SignalFd) -> Result<Vec<String>, ServeError> {
    let own = std::process::id().cast_signed();
    let until = Instant::now() + PATIENCE;
    let mut names: Vec<(i32, String)> = Vec::new();
    while Instant::now() < until {
        while let Ok(Some(_)) = children.read_signal() {}
        for process in procfs::descendants(own) {
            child::kill_if_still(&process);
            let is_new = names.iter().all(|(pid, _)| *pid != process.pid);
            // One that was ending anyway was not left behind.
            if is_new && !process.is_ending && names.len() < NAMES_MAX {
                names.push((process.pid, process.name));
            }
        }
        if let Reaped::None = sys::reap_strangers()? {
            break;
        }
        let mut watched = [PollFd::new(children.as_fd(), PollFlags::POLLIN)];
        let now = Instant::now();
        poll_until(&mut watched, Some(now + LOOK_AGAIN), now)?;
        if let Reaped::None = sys::reap_strangers()? {
            break;
        }
    }
    Ok(names.into_iter().map(|(_, name)| name).collect())
}
