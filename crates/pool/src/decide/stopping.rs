//! How is a worker brought to its end? One that takes jobs finishes the one it has, and is told
//! that there are no more; any is asked by a signal, and after the grace it is killed; and what
//! the kernel then still holds is waited for no longer.

use std::time::Duration;

use super::{Action, Policy, Tick, jobs, slot::Turn, work::Work};
use crate::{
    event::{Event, WorkerId},
    exit::StopReason,
};

/// A killed process that is still there after this long is held by the kernel: waiting for it
/// could last for ever.
const UNDEAD_AFTER: Duration = Duration::from_secs(2);
/// A worker that was told that there are no more jobs, and is still there after this long, does
/// not listen.
const DEAF_AFTER: Duration = Duration::from_secs(2);

/// A century.
const NO_HURRY: Duration = Duration::from_secs(100 * 366 * 86_400);

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
    /// It finishes the jobs it has started.
    Draining,
    /// It was told that there are no more jobs.
    Dismissed,
    /// It was asked by a signal.
    Asked,
    Killed,
}

impl Stopping {
    /// Decides it, and does what the rung it begins at says.
    pub(super) fn begin(
        why: StopReason,
        rung: Rung,
        worker: WorkerId,
        turn: &mut Turn<'_>,
    ) -> Self {
        turn.tell(Event::Stopping { worker, why, kill: rung == Rung::Killed });
        Self::stand(why, rung, worker, turn)
    }

    /// It must end for this, whatever it does: asked where it overran, killed where it cannot be
    /// trusted.
    pub(super) fn must(why: StopReason, worker: WorkerId, turn: &mut Turn<'_>) -> Self {
        let is_broken = matches!(why, StopReason::Protocol(_));
        Self::begin(why, if is_broken { Rung::Killed } else { Rung::Asked }, worker, turn)
    }

    /// The next rung; after the kill `None`: there is nothing more to be done.
    pub(super) fn climb(self, worker: WorkerId, turn: &mut Turn<'_>) -> Option<Self> {
        match self.rung {
            Rung::Draining | Rung::Dismissed => {
                Some(Self::stand(self.why, Rung::Asked, worker, turn))
            }
            Rung::Unheard | Rung::Asked => {
                turn.tell(Event::Stopping { worker, why: self.why, kill: true });
                Some(Self::stand(self.why, Rung::Killed, worker, turn))
            }
            Rung::Killed => {
                turn.tell(Event::Undead { worker });
                None
            }
        }
    }

    /// Somebody asks once more: the next rung at once, but for what is killed already.
    pub(super) fn press(self, worker: WorkerId, turn: &mut Turn<'_>) -> Self {
        if self.rung == Rung::Killed { self } else { self.climb(worker, turn).unwrap_or(self) }
    }

    /// It has nothing left to finish.
    pub(super) fn dismiss(self, worker: WorkerId, turn: &mut Turn<'_>) -> Self {
        match self.rung {
            Rung::Draining => Self::stand(self.why, Rung::Dismissed, worker, turn),
            _ => self,
        }
    }

    /// Its program is executed now, and hears.
    pub(super) fn heard(self, worker: WorkerId, turn: &mut Turn<'_>) -> Self {
        match self.rung {
            // The grace counts from the decision.
            Rung::Unheard => {
                turn.actions.push(Action::Ask(worker));
                Self { rung: Rung::Asked, ..self }
            }
            _ => self,
        }
    }

    /// It is wanted gone for another reason too, and perhaps sooner.
    pub(super) fn join(
        mut self,
        why: StopReason,
        drains: bool,
        worker: WorkerId,
        turn: &mut Turn<'_>,
    ) -> Self {
        // What we hold against it stays the reason of its end.
        if !self.why.is_charge() {
            self.why = why;
        }
        match self.rung {
            Rung::Draining if drains => {
                self.deadline = self.deadline.min(turn.now + patience(self.rung, turn));
                self
            }
            Rung::Draining | Rung::Dismissed if !drains => self.press(worker, turn),
            _ => self,
        }
    }

    /// When something is due: its next rung, or what is due about the job it finishes.
    pub(super) fn deadline(self, work: &Work, policy: &Policy) -> Option<Tick> {
        let job = match self.rung {
            Rung::Draining => jobs::deadline(work, policy),
            _ => None,
        };
        Some(job.map_or(self.deadline, |job| job.min(self.deadline)))
    }

    fn stand(why: StopReason, rung: Rung, worker: WorkerId, turn: &mut Turn<'_>) -> Self {
        match rung {
            Rung::Draining => {}
            Rung::Unheard => turn.actions.push(Action::Retract(worker)),
            Rung::Dismissed => turn.actions.push(Action::Dismiss(worker)),
            Rung::Asked => turn.actions.push(Action::Ask(worker)),
            Rung::Killed => turn.actions.push(Action::Kill(worker)),
        }
        Self { why, rung, deadline: turn.now + patience(rung, turn) }
    }
}

/// How long a worker may stay at a rung.
fn patience(rung: Rung, turn: &Turn<'_>) -> Duration {
    match rung {
        // Nobody waits for it: its job has all the time it may take.
        Rung::Draining if !turn.hurries => NO_HURRY,
        Rung::Unheard | Rung::Draining | Rung::Asked => turn.policy.grace,
        Rung::Dismissed => DEAF_AFTER,
        Rung::Killed => UNDEAD_AFTER,
    }
}
