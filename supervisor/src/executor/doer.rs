//! Who does the job that a worker runs? Where it says that a process of its own does, that process
//! is held on to: if the worker dies, nobody else ends it.

use std::{cell::RefCell, os::fd::OwnedFd};

use super::incoming::Heard;
use process::wait;

/// The process that does the running job, and the job's number.
#[derive(Debug, Default)]
pub(super) struct Doer(RefCell<Option<(u64, OwnedFd)>>);

impl Doer {
    /// Takes note of what this worker's process has said.
    pub(super) fn note(&self, heard: &Heard, worker: i32) {
        if let Some((id, pid)) = heard.started {
            // One that is gone by now is answered for soon.
            let doer = i32::try_from(pid).ok().and_then(|pid| wait::pidfd_of_child(pid, worker));
            self.0.replace(doer.map(|pidfd| (id, pidfd)));
        }
        let mut doer = self.0.borrow_mut();
        if doer.as_ref().is_some_and(|(id, _)| heard.replies.iter().any(|reply| reply.id == *id)) {
            *doer = None;
        }
    }

    /// The worker is dead: ends the process, and its group.
    pub(super) fn end(&self) {
        if let Some((_, doer)) = self.0.take() {
            wait::kill_group_of(&doer);
        }
    }
}
