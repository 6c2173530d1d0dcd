//! Ends a run: when its jobs are done, when enough of them have ended, on request, or when its
//! program cannot be started or does not speak the protocol.

use super::{
    action::Actions,
    context::Speech,
    halt,
    input::Tick,
    phase::RunPhase,
    pool::Pool,
    shutdown::{Request, Shutdown},
    slot::Slot,
    slots::SlotIndex,
};
use crate::{
    event::{Event, ShutdownReason, Silence},
    exit::{Cause, Sender, StartFault, Status, StopReason},
};

impl Pool {
    /// Takes the end of a worker that was of no use, while no worker has spoken the protocol. If a
    /// worker of each slot has shown that the program does not speak it, the run stops. `again` is
    /// when the slot's next worker starts.
    ///
    /// A program that says something else, says nothing in time, or ends with success does not
    /// speak the protocol. One that fails may only not be ready yet: what it needs is not there.
    /// It is started again until the time for a start is over.
    pub(super) fn ended_unheard(
        &mut self,
        now: Tick,
        index: SlotIndex,
        (cause, status): (Cause, Option<Status>),
        again: Option<Tick>,
        actions: &mut Actions,
    ) {
        let has_spoken = self.contact.speech == Speech::Heard;
        let Some(rules) = self.policy.jobs.as_ref().filter(|_| !has_spoken) else { return };
        if self.phase.is_stopping() {
            return;
        }
        let (silence, is_proof) = match (cause, status) {
            (Cause::Protocol(fault), _) => (Silence::Fault(fault), true),
            // A kill from outside says nothing about the program.
            (Cause::Signal(Sender::Outside), _) => return,
            (_, Some(status)) => (Silence::Ended(status), status.is_success()),
            (_, None) => return,
        };
        let until = self.contact.first_run.unwrap_or(now) + rules.start_timeout;
        if !is_proof && again.is_some_and(|again| again < until) {
            return;
        }
        self.slots[index].may_speak = false;
        if self.slots.iter().all(|slot| !slot.may_speak) {
            self.shut_down(now, ShutdownReason::NotAWorker(silence), actions);
        }
    }

    pub(super) fn cannot_start(&mut self, now: Tick, fault: StartFault, actions: &mut Actions) {
        if self.phase.reason().is_none() {
            self.shut_down(now, ShutdownReason::CannotStart(fault), actions);
        }
    }

    /// Stops the run early, or escalates the shutdown under way.
    pub(super) fn shut_down(&mut self, now: Tick, reason: ShutdownReason, actions: &mut Actions) {
        let is_done = self.phase.is_done();
        let request = match &mut self.phase {
            RunPhase::Stopping { shutdown, .. } => shutdown.request(now, reason),
            phase => {
                let shutdown = Shutdown::begin(now, reason);
                *phase = RunPhase::Stopping { shutdown, is_done };
                Some(Request::Stop)
            }
        };
        match request {
            Some(Request::Stop) => {
                actions.emit(Event::ShuttingDown { reason });
                self.cancel_roll();
                self.ledger.abandon(actions);
                self.each_slot(now, actions, |slot, ctx| slot.stop(StopReason::Shutdown, ctx));
            }
            Some(Request::Press) => self.each_slot(now, actions, Slot::press),
            None => {}
        }
    }

    /// Ends the run if all jobs are settled, enough jobs have ended, or its deadline has passed.
    pub(super) fn end_jobs(&mut self, now: Tick, actions: &mut Actions) {
        let Some(rules) = &self.policy.jobs else { return };
        let is_late = rules.deadline.is_some_and(|deadline| deadline <= now);
        let halt = rules.halt.filter(|halt| halt::is_due(*halt, self.ledger.tally()));
        if self.phase.is_stopping() {
            // Jobs that were requeued after the stop are not run either.
            self.ledger.abandon(actions);
        }
        if is_late && !self.phase.is_done() {
            self.shut_down(now, ShutdownReason::Deadline, actions);
        } else if self.phase.is_stopping() {
            // The run is stopping already.
        } else if let Some(halt) = halt {
            let is_goal = halt::is_goal(halt, self.ledger.tally());
            self.shut_down(now, ShutdownReason::Halted { now: halt.now, is_goal }, actions);
        } else if matches!(self.phase, RunPhase::SourceEnded) && self.ledger.open() == 0 {
            self.phase = RunPhase::Finishing;
            self.each_slot(now, actions, |slot, ctx| slot.stop(StopReason::Finished, ctx));
        } else if self.slots.iter().all(|slot| slot.retired().is_some()) {
            // Every slot has given up, so no worker is left for the remaining jobs.
            self.ledger.abandon(actions);
        }
    }
}
