//! How is all that descends from this process stopped for a while? One by one: workers have
//! sessions of their own, so no terminal's Ctrl-Z reaches them.

use super::{
    census::{Census, Process},
    child,
};
use crate::signal::Signal;

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

    /// Lets them go on.
    pub fn thaw(self) {
        self.0.iter().for_each(|process| child::signal_if_still(process, Signal::CONT));
    }
}
