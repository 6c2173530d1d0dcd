//! The process that does the jobs of a worker, where a wrapper that does not `exec` stands between it
//! and the supervisor.
//!
//! The supervisor watches the process that it started: the wrapper. Its exit status and its group
//! are what the supervisor sees and signals, and a wrapper ends when its program does. One that does
//! not would leave the supervisor waiting for a dead worker, so the end of the owner is watched too.

use process::{descriptors::poll_readable, tree::is_descendant, wait::pidfd};
use tokio::task::AbortHandle;

/// The owner of a connection, unless it is the process that the supervisor started.
#[derive(Debug, Default)]
pub(super) struct Owner {
    pid: Option<i32>,
    /// The task that waits for its end.
    watch: Option<AbortHandle>,
}

impl Owner {
    /// Its process id. `None` for the process that the supervisor started itself, and for one that
    /// could not be verified, such as one in another PID namespace.
    pub(super) fn pid(&self) -> Option<i32> {
        self.pid
    }

    /// Notes that a hello named the process `pid`. The number comes from an untrusted process, and
    /// counts only if that process descends from `started`.
    pub(super) fn set(&mut self, pid: u32, started: i32, ended: impl FnOnce() + 'static) {
        let Ok(pid) = i32::try_from(pid) else { return };
        if pid == started {
            return;
        }
        // The descriptor is opened before the check: from then on it stands for the process checked.
        let Ok(fd) = pidfd(pid).and_then(poll_readable) else { return };
        if !is_descendant(pid, started) {
            return;
        }
        self.pid = Some(pid);
        let watch = tokio::task::spawn_local(async move {
            if fd.readable().await.is_ok() {
                ended();
            }
        });
        self.watch = Some(watch.abort_handle());
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if let Some(watch) = &self.watch {
            watch.abort();
        }
    }
}
