//! When a worker dies, which of its jobs is to blame? The one that ran, by the record that
//! outlives it, and no other.

#[cfg(test)]
use super::super::sim::bugs::{Bug, planted, tampered};
use super::{
    super::{retry, slot::Turn, step::Left},
    Work,
};
use crate::{
    event::WorkerId,
    exit::{Cause, Evidence},
    job::{AttemptEnd, Death},
};

impl Work {
    /// It died: what it had still said counts; the job it ran, if any, had this death; and what
    /// it had not started goes back as if it had never been sent. Whether it ever did a job, or
    /// died at one.
    pub(in super::super) fn on_death(
        mut self,
        worker: WorkerId,
        (cause, evidence): (Cause, Option<&Evidence>),
        left: Left,
        turn: &mut Turn<'_>,
    ) -> bool {
        #[cfg(test)]
        let left = tampered(left, evidence, self.keys(), turn.ledger);
        // A last answer that is nonsense is none.
        let _ = self.on_replies(worker, left.replies, None, turn);
        let running = self.running(left.started);
        #[cfg(test)]
        self.charge_all(worker, cause, turn);
        while self.window.len() > usize::from(running)
            && let Some(key) = self.window.pop_back()
        {
            turn.ledger.give_back(key, turn.actions);
        }
        let Some(key) = self.window.pop_front() else { return self.answered > 0 };
        let death = Death { cause, evidence: evidence.cloned(), last_output: left.output };
        let death = Box::new(death);
        let end = match cause {
            // Or else it was the one before it that took too long, and ended after all.
            Cause::Timeout if self.overdue.is_some() => AttemptEnd::Timeout(death),
            Cause::Timeout => AttemptEnd::Returned(death),
            cause if retry::is_charged(cause) => AttemptEnd::Crashed(death),
            _ => AttemptEnd::Returned(death),
        };
        let number = turn.ledger.attempt(key);
        let took = turn.now.saturating_sub(self.head_since);
        turn.file(key, self.attempt(worker, number, took, turn.now, end));
        true
    }

    /// Whether the first in the window was running, by the record of a worker that died.
    ///
    /// All before it is answered, since answers survive their worker. So a record at the job before
    /// it means a death between jobs; one at it, or none that makes sense, that it ran.
    fn running(&self, started: Option<u64>) -> bool {
        !self.window.is_empty() && started != Some(self.done)
    }

    /// A death charges all that the worker had in hand, as a bug would have it.
    #[cfg(test)]
    fn charge_all(&mut self, worker: WorkerId, cause: Cause, turn: &mut Turn<'_>) {
        while planted(Bug::ChargesAll)
            && self.window.len() > 1
            && let Some(key) = self.window.pop_back()
        {
            let number = turn.ledger.attempt(key);
            let death = Death { cause, evidence: None, last_output: Vec::new() };
            let end = AttemptEnd::Crashed(Box::new(death));
            turn.file(key, self.attempt(worker, number, std::time::Duration::ZERO, turn.now, end));
        }
    }
}
