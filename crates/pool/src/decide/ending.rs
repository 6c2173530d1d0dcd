//! What is made of a worker's end? Why it ended, whether that was well, and what becomes of its
//! slot.

use std::time::Duration;

use super::{
    slot::{End, Slot, Turn},
    step::Left,
    stopping::{Rung, Stopping},
    verdict::{self, Circumstances},
};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Asked, Cause, ProcessEnd, StopReason},
    rules::Restart,
};

/// The life that ended, as it is judged for a restart.
#[derive(Clone, Copy)]
pub(super) struct Lived {
    pub(super) up: Duration,
    /// Its death is the program's.
    pub(super) early: bool,
}

impl Slot {
    /// Why a life ended.
    pub(super) fn judge(&self, end: &End, stopping: Option<Stopping>, turn: &Turn<'_>) -> Cause {
        // Of those at the first rungs nothing was asked yet.
        let unasked = |stopping: &Stopping| matches!(stopping.rung, Rung::Unheard | Rung::Draining);
        let asked = stopping.filter(|stopping| !unasked(stopping)).map(asked);
        let limits = &turn.policy.limits;
        let stop_signal = turn.policy.stop_signal;
        match (&end.end, asked) {
            (ProcessEnd::Ended(evidence), _) => {
                let circumstances = Circumstances { limits, stop_signal, asked };
                match (verdict::cause(evidence, circumstances), end.left.broken) {
                    // It ended by itself, and what it said before tells more.
                    (Cause::Exit, Some(fault)) => Cause::Protocol(fault),
                    (cause, _) => cause,
                }
            }
            // Killed before its exec: what ended the stub was meant for the program.
            (ProcessEnd::NeverStarted(_), Some(asked)) if asked.killed => verdict::of_asked(asked),
            (ProcessEnd::NeverStarted(fault), _) => Cause::CouldNotStart(*fault),
            (ProcessEnd::Withdrawn, _) => stopping
                .map_or(Cause::Unobserved, |stopping| verdict::of_asked(self::asked(stopping))),
            (ProcessEnd::Unobserved { .. }, Some(asked)) => verdict::of_asked(asked),
            (ProcessEnd::Unobserved { .. }, None) => Cause::Unobserved,
        }
    }

    /// What becomes of the slot after this end.
    pub(super) fn next(
        &mut self,
        end: &End,
        cause: Cause,
        stopping: Option<Stopping>,
        lived: Lived,
        turn: &Turn<'_>,
    ) -> Next {
        let is_success = end.end.evidence().is_some_and(|evidence| evidence.status.is_success());
        let again = match &end.end {
            _ if turn.stopping => false,
            // There is nothing for it to do, or no place.
            _ if self.is_surplus => false,
            _ if stopping.is_some_and(|s| s.why == StopReason::Finished) => false,
            // Not so one that let its time pass and never took up a job.
            _ if stopping.is_some_and(|s| is_replaced_at_once(s.why)) && !lived.early => {
                return Next::Again(Duration::ZERO);
            }
            // Nothing ran, so this is no restart: any policy tries once more.
            ProcessEnd::Withdrawn => true,
            ProcessEnd::NeverStarted(fault) if fault.is_transient() => true,
            ProcessEnd::NeverStarted(fault) if turn.is_hopeless(*fault) => false,
            _ if is_success && !matches!(cause, Cause::Protocol(_)) => {
                turn.policy.restart == Restart::Always
            }
            _ => turn.policy.restart != Restart::Never,
        };
        if !again {
            return Next::Done;
        }
        self.record.delay(!lived.early, lived.up, end.jitter).map_or(Next::GaveUp, Next::Again)
    }

    /// Tells an end; whether the worker ended well.
    pub(super) fn tell_end(
        &self,
        life: u32,
        end: &End,
        cause: Cause,
        next: Next,
        turn: &mut Turn<'_>,
    ) -> bool {
        let evidence = end.end.evidence().cloned();
        let well = match cause {
            Cause::AskedToStop(asked) if asked.why != StopReason::Killed => true,
            _ => evidence.as_ref().is_some_and(|evidence| evidence.status.is_success()),
        };
        let worker = WorkerId { slot: self.number, life };
        turn.tell(Event::Ended(Ended { worker, pid: end.pid, cause, evidence, next }));
        well
    }

    /// The slot's worker was killed and is still there: what it had in hand is over all the same.
    pub(super) fn bury(&mut self, stopping: Stopping, turn: &mut Turn<'_>) {
        let cause = verdict::of_asked(asked(stopping));
        let work = std::mem::take(&mut self.work);
        work.on_death(self.worker(), (cause, None), Left::default(), turn);
    }

    /// So was the outgoing one.
    pub(super) fn bury_outgoing(&mut self, stopping: Stopping, turn: &mut Turn<'_>) {
        let Some(worker) = self.outgoing_worker() else { return };
        let Some(old) = self.outgoing.take() else { return };
        let cause = verdict::of_asked(asked(stopping));
        old.work.on_death(worker, (cause, None), Left::default(), turn);
    }
}

/// Whether a worker that was stopped for this makes way for another, which is no restart.
pub(super) fn is_replaced_at_once(why: StopReason) -> bool {
    match why {
        StopReason::Roll
        | StopReason::Recycle
        | StopReason::SecondOpinion
        | StopReason::Cancelled
        | StopReason::Timeout => true,
        StopReason::Shutdown
        | StopReason::Finished
        | StopReason::Killed
        | StopReason::Scale
        | StopReason::Memory
        | StopReason::Protocol(_) => false,
    }
}

fn asked(stopping: Stopping) -> Asked {
    Asked { why: stopping.why, killed: stopping.rung == Rung::Killed }
}
