//! Holds the process that a worker started for its current job.
//!
//! A worker may run each job in a child process and report that child's process id. The
//! supervisor keeps a pidfd of the child, because nothing else ends the child if the worker dies.

use std::{io, os::fd::OwnedFd};

use super::decode::Received;
use pool::signal::Signal;
use process::wait;

/// The child that runs the current job of a worker, where the worker reported one.
#[derive(Debug, Default)]
pub(super) struct JobProcess(Option<Child>);

#[derive(Debug)]
struct Child {
    job: u64,
    pidfd: OwnedFd,
}

impl JobProcess {
    /// Applies the messages of the worker whose process id is `worker`: a start replaces the
    /// child, and the reply to the child's job drops it.
    pub(super) fn update(&mut self, received: &Received, worker: i32) {
        if let Some((job, pid)) = received.started {
            // A child that has ended already has no pidfd; the reply to its job is on its way.
            let pidfd = i32::try_from(pid).ok().and_then(|pid| wait::pidfd_of_child(pid, worker));
            self.0 = pidfd.map(|pidfd| Child { job, pidfd });
        }
        let is_answered = |child: &mut Child| received.replies.iter().any(|it| it.id == child.job);
        self.0.take_if(is_answered);
    }

    /// Sends a signal to the child.
    ///
    /// # Errors
    /// There is no child, or the system refused it.
    pub(super) fn signal(&self, signal: Signal) -> io::Result<()> {
        let child = self.0.as_ref().ok_or_else(|| {
            io::Error::other("it runs no command, or one that has only just begun")
        })?;
        wait::signal_process(&child.pidfd, signal)
    }

    /// Kills the child and its process group, after the worker has died.
    pub(super) fn kill(&mut self) {
        if let Some(child) = self.0.take() {
            wait::kill_group_of(&child.pidfd);
        }
    }
}
