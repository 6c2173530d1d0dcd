//! Sending signals to children by number. That is safe only while nothing can have reaped the
//! child: an unreaped child keeps its number, and with it the number of its group.

use pool::signal::Signal;
use serde::{Deserialize, Serialize};

/// Which processes are stopped and killed with a worker or a command.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize, Deserialize)]
pub enum KillScope {
    /// All descendants, whatever their session. The process group gets the stop signal; the
    /// descendants that are left when the process has ended are killed.
    #[default]
    Tree,
    /// The process group. Descendants that have left the group live on.
    Group,
    /// The process alone. Its children live on.
    Leader,
}

impl KillScope {
    /// Signals an unreaped child, together with its group where the scope includes that.
    pub fn signal(self, pid: i32, signal: Signal) {
        match self {
            Self::Tree | Self::Group => signal_group(pid, signal),
            Self::Leader => signal_child(pid, signal),
        }
    }

    /// Asks an unreaped child to end. SIGCONT follows the stop signal, because a stopped process
    /// handles no other signal.
    pub fn request_stop(self, pid: i32, stop_signal: Signal) {
        self.signal(pid, stop_signal);
        self.signal(pid, Signal::CONT);
    }
}

/// Signals an unreaped child.
pub fn signal_child(pid: i32, signal: Signal) {
    // SAFETY: kill takes two integers. Failure means that the process is gone.
    unsafe { libc::kill(pid, signal.number()) };
}

/// Signals the process group of an unreaped child, or the child alone while it has no group yet.
pub fn signal_group(leader: i32, signal: Signal) {
    // SAFETY: kill takes two integers. It is the raw call because nix has no names for the
    // real-time signals.
    let sent = unsafe { libc::kill(-leader, signal.number()) };
    if sent != 0 {
        signal_child(leader, signal);
    }
}
