//! What is not done before the journal says that it is about to be? Sending a job that must not be
//! forgotten; and behind that, whatever else concerns the same worker.

use std::collections::VecDeque;

use journal::Sequence;
use pool::{Action, event::WorkerId};

/// Actions that wait for a commit, in order.
#[derive(Debug, Default)]
pub(super) struct Gate {
    waiting: VecDeque<(Sequence, Action)>,
}

impl Gate {
    /// An action that need not wait comes back; the others wait until so much is committed. `waits`
    /// says of a sending that it does.
    pub(super) fn admit(&mut self, action: Action, waits: bool, upto: Sequence) -> Option<Action> {
        let Some(worker) = worker(&action) else { return Some(action) };
        match &action {
            Action::Kill(_) => {
                self.waiting.retain(|(_, known)| self::worker(known) != Some(worker));
                Some(action)
            }
            Action::Send { orders, .. } if waits && !orders.is_empty() => {
                self.waiting.push_back((upto, action));
                None
            }
            _ if self.waiting.iter().any(|(_, known)| self::worker(known) == Some(worker)) => {
                self.waiting.push_back((upto, action));
                None
            }
            _ => Some(action),
        }
    }

    /// So much is committed: what may be done now.
    pub(super) fn open(&mut self, upto: Sequence) -> Vec<Action> {
        let count = self.waiting.iter().take_while(|(sequence, _)| *sequence <= upto).count();
        self.waiting.drain(..count).map(|(_, action)| action).collect()
    }
}

fn worker(action: &Action) -> Option<WorkerId> {
    match action {
        Action::Send { worker, .. }
        | Action::Cancel { worker, .. }
        | Action::Examine { worker, .. }
        | Action::Spawn(worker)
        | Action::Retract(worker)
        | Action::Dismiss(worker)
        | Action::Withdraw(worker)
        | Action::Ask(worker)
        | Action::Kill(worker) => Some(*worker),
        Action::SampleMemory { .. } | Action::Requeued { .. } | Action::Emit(_) => None,
    }
}
