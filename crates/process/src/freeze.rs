//! How is all that descends from this process stopped for a while? One by one: workers have
//! sessions of their own, so no terminal's Ctrl-Z reaches them.

use std::time::Duration;

use super::{
    census::{Census, Process},
    child,
};
use pool::signal::Signal;

/// Those that were stopped.
#[derive(Debug)]
pub struct Frozen(Vec<Process>);

impl Frozen {
    /// Stops all descendants that are not stopped already. Looks again, for those that were born
    /// meanwhile.
    #[must_use]
    pub fn freeze() -> Self {
        let own = std::process::id().cast_signed();
        let mut frozen: Vec<Process> = Vec::new();
        loop {
            let before = frozen.len();
            for process in Census::take().descendants(own) {
                let is_known = frozen.iter().any(|known| known.is_same(process));
                if !is_known && !process.is_ending && process.state != 'T' {
                    child::signal_if_still(process, Signal::STOP);
                    frozen.push(process.clone());
                }
            }
            if frozen.len() == before {
                return Self(frozen);
            }
        }
    }

    /// Lets them go on. Our own children hear for how long they were stopped, since some of them count
    /// time for us. (None is reaped meanwhile but by whoever calls this.)
    pub fn thaw(self, stopped: Duration) {
        let own = std::process::id().cast_signed();
        for process in &self.0 {
            let is_still = || Process::find(process.pid).is_some_and(|now| now.is_same(process));
            if process.is_child_of(own) && is_still() {
                child::wake_child(process.pid, stopped);
            } else {
                child::signal_if_still(process, Signal::CONT);
            }
        }
    }
}
