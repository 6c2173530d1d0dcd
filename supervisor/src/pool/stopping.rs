//! How is a worker brought to its end? It is asked, and after the grace it is killed; and what
//! the kernel then still holds is waited for no longer.

use std::time::Duration;

use super::{Action, Tick, slot::Turn};
use crate::{
    event::{Event, WorkerId},
    exit::StopReason,
};

/// A killed process that is still there after this long is held by the kernel: waiting for it
/// could last for ever.
const UNDEAD_AFTER: Duration = Duration::from_secs(2);

/// A worker that is asked to end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stopping {
    pub(super) why: StopReason,
    pub(super) rung: Rung,
    /// When it climbs to the next rung.
    pub(super) deadline: Tick,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rung {
    /// To be asked once its program is executed; before that it would not hear.
    Unheard,
    Asked,
    Killed,
}

impl Stopping {
    /// Decides it; asks at once where it is heard.
    pub(super) fn begin(
        why: StopReason,
        heard: bool,
        worker: WorkerId,
        turn: &mut Turn<'_>,
    ) -> Self {
        let rung = if heard { Rung::Asked } else { Rung::Unheard };
        if heard {
            turn.actions.push(Action::Ask(worker));
        }
        turn.tell(Event::Stopping { worker, why, kill: false });
        Self { why, rung, deadline: turn.now + turn.policy.grace }
    }

    /// The next rung: the kill, and after it `None`: there is nothing more to be done.
    pub(super) fn climb(self, worker: WorkerId, turn: &mut Turn<'_>) -> Option<Self> {
        let killed = self.kill(worker, turn);
        if killed.is_none() {
            turn.tell(Event::Undead { worker });
        }
        killed
    }

    /// The kill; `None` where it was already killed.
    pub(super) fn kill(self, worker: WorkerId, turn: &mut Turn<'_>) -> Option<Self> {
        if self.rung == Rung::Killed {
            return None;
        }
        turn.actions.push(Action::Kill(worker));
        turn.tell(Event::Stopping { worker, why: self.why, kill: true });
        Some(Self { rung: Rung::Killed, deadline: turn.now + UNDEAD_AFTER, ..self })
    }
}
