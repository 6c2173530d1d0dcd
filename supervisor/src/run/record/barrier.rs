//! The commit barrier: keeps back outcomes and actions until the log has committed what they depend
//! on. An outcome must not be shown before it is committed; a job that must not run twice must not
//! be sent before its start is committed.

use std::collections::VecDeque;

use super::Sequence;
use pool::{Action, event::WorkerId, job::Outcome};

/// Outcomes and actions that wait for commits, in order.
#[derive(Debug, Default)]
pub(super) struct CommitBarrier {
    /// The last record that was handed to the log.
    submitted: Sequence,
    /// The last record that is known to be committed.
    committed: Sequence,
    outcomes: VecDeque<(Sequence, Vec<Outcome>)>,
    actions: VecDeque<(Sequence, Action)>,
}

impl CommitBarrier {
    pub(super) fn committed(&self) -> Sequence {
        self.committed
    }

    /// Notes that records up to this one were handed to the log.
    pub(super) fn submitted(&mut self, upto: Sequence) {
        self.submitted = upto;
    }

    /// Whether outcomes wait.
    pub(super) fn holds_outcomes(&self) -> bool {
        !self.outcomes.is_empty()
    }

    /// Keeps outcomes back until everything submitted so far is committed. Outcomes that need not
    /// wait come back.
    pub(super) fn hold_outcomes(&mut self, outcomes: Vec<Outcome>) -> Vec<Outcome> {
        if outcomes.is_empty() || self.submitted <= self.committed {
            return outcomes;
        }
        self.outcomes.push_back((self.submitted, outcomes));
        Vec::new()
    }

    /// Keeps an action back if it sends jobs whose start must be committed first (`must_wait`), or
    /// if it concerns a worker for which another action waits. Other actions come back. A kill
    /// never waits, and drops what waits for its worker.
    pub(super) fn hold_action(&mut self, action: Action, must_wait: bool) -> Option<Action> {
        let Some(worker) = worker(&action) else { return Some(action) };
        match &action {
            Action::Kill(_) => {
                self.actions.retain(|(_, held)| self::worker(held) != Some(worker));
                Some(action)
            }
            Action::Send { orders, .. } if must_wait && !orders.is_empty() => {
                self.actions.push_back((self.submitted, action));
                None
            }
            _ if self.actions.iter().any(|(_, held)| self::worker(held) == Some(worker)) => {
                self.actions.push_back((self.submitted, action));
                None
            }
            _ => Some(action),
        }
    }

    /// Notes that records up to this one are committed, and returns what waited for them.
    pub(super) fn commit(&mut self, upto: Sequence) -> (Vec<Outcome>, Vec<Action>) {
        self.committed = upto;
        let outcomes = self.outcomes.iter().take_while(|(sequence, _)| *sequence <= upto).count();
        let actions = self.actions.iter().take_while(|(sequence, _)| *sequence <= upto).count();
        (
            self.outcomes.drain(..outcomes).flat_map(|(_, outcomes)| outcomes).collect(),
            self.actions.drain(..actions).map(|(_, action)| action).collect(),
        )
    }

    /// Returns all outcomes that wait, because nothing more will be committed. Actions are dropped:
    /// the run stops.
    pub(super) fn into_outcomes(self) -> impl Iterator<Item = Outcome> {
        self.outcomes.into_iter().flat_map(|(_, outcomes)| outcomes)
    }
}

fn worker(action: &Action) -> Option<WorkerId> {
    match action {
        Action::Send { worker, .. }
        | Action::Cancel { worker, .. }
        | Action::Examine { worker, .. }
        | Action::ExamineStart(worker)
        | Action::Spawn(worker)
        | Action::Retract(worker)
        | Action::Dismiss(worker)
        | Action::Withdraw(worker)
        | Action::Ask(worker)
        | Action::Kill(worker) => Some(*worker),
        Action::SampleMemory { .. } | Action::Requeued { .. } | Action::Emit(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::tests::support::{ONE, TWO, outcome, sends};

    #[test]
    fn outcomes_wait_for_their_commit_and_no_longer() {
        let mut barrier = CommitBarrier::default();
        assert_eq!(barrier.hold_outcomes(vec![outcome(1)]).len(), 1, "nothing was submitted");
        barrier.submitted(5);
        assert!(barrier.hold_outcomes(vec![outcome(2)]).is_empty() && barrier.holds_outcomes());
        barrier.submitted(6);
        assert!(barrier.hold_outcomes(vec![outcome(3)]).is_empty());
        let ids = |outcomes: Vec<Outcome>| outcomes.iter().map(|it| it.id).collect::<Vec<_>>();
        assert_eq!(ids(barrier.commit(5).0), [2]);
        assert_eq!(ids(barrier.into_outcomes().collect()), [3]);
    }

    #[test]
    fn actions_of_one_worker_keep_their_order_and_a_kill_overtakes() {
        let mut barrier = CommitBarrier::default();
        barrier.submitted(3);
        let [to_one, to_two] = sends().try_into().unwrap();
        assert_eq!(barrier.hold_action(to_one.clone(), true), None);
        assert_eq!(barrier.hold_action(Action::Dismiss(ONE), false), None);
        assert_eq!(barrier.hold_action(Action::Dismiss(TWO), false), Some(Action::Dismiss(TWO)));
        assert_eq!(barrier.hold_action(to_two, true), None);
        assert_eq!(barrier.hold_action(Action::Kill(TWO), false), Some(Action::Kill(TWO)));
        assert_eq!(barrier.commit(2).1, []);
        assert_eq!(barrier.commit(3).1, [to_one, Action::Dismiss(ONE)]);
    }
}
