//! Suspends this process and all its descendants. They are stopped one by one: workers have sessions
//! of their own, so a Ctrl-Z at the terminal reaches none of them.

use std::time::{Duration, Instant};

use pool::signal::Signal;

use super::{kill::contains, table::ProcessTable};
use crate::{
    proc::Stat,
    signals::{resume_child, suspend},
    wait::signal_if_same,
};

/// Stops all descendants of this process and the process itself, as for Ctrl-Z, until it is
/// continued. Before the descendants are resumed, `skip` gets the time for which they were stopped,
/// which no time limit should count. The caller must not reap children meanwhile.
pub fn suspend_all(skip: impl FnOnce(Duration)) {
    let stopped = Suspended::stop_descendants();
    let at = Instant::now();
    suspend(Signal::TSTP);
    let stopped_for = at.elapsed();
    skip(stopped_for);
    stopped.resume(stopped_for);
}

/// The processes that were stopped, to be resumed later.
struct Suspended(Vec<Stat>);

impl Suspended {
    /// Stops all descendants that are not stopped already, and repeats that until no new one
    /// appears.
    fn stop_descendants() -> Self {
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

    /// Resumes the processes. The signal tells direct children for how long they were stopped,
    /// because launchers measure time for their commands.
    fn resume(self, stopped_for: Duration) {
        let own = std::process::id().cast_signed();
        for process in &self.0 {
            let is_still = || Stat::read(process.pid).is_some_and(|now| now.is_same(process));
            if process.is_child_of(own) && is_still() {
                resume_child(process.pid, stopped_for);
            } else {
                signal_if_same(process, Signal::CONT);
            }
        }
    }
}
