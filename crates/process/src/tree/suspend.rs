//! Suspends all descendants of this process. They are stopped one by one: workers have sessions of
//! their own, so a Ctrl-Z at the terminal reaches none of them.

use pool::signal::Signal;

use super::{kill::contains, table::ProcessTable};
use crate::{proc::Stat, wait::signal_if_same};

/// The processes that were stopped, to be resumed later.
#[derive(Debug)]
pub struct Suspended(Vec<Stat>);

impl Suspended {
    /// Stops all descendants that are not stopped already, and repeats that until no new one
    /// appears.
    #[must_use]
    pub fn stop_descendants() -> Self {
        let own = std::process::id().cast_signed();
        let mut stopped: Vec<Stat> = Vec::new();
        loop {
            let before = stopped.len();
            for process in ProcessTable::read().descendants(own) {
                let is_known = contains(&stopped, process);
                if !is_known && !process.is_ending() && process.state != 'T' {
                    signal_if_same(process, Signal::STOP);
                    stopped.push(process.clone());
                }
            }
            if stopped.len() == before {
                return Self(stopped);
            }
        }
    }

    /// Resumes the processes.
    pub fn resume(self) {
        self.0.iter().for_each(|process| signal_if_same(process, Signal::CONT));
    }
}
