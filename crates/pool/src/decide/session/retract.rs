//! Retracts jobs from a worker that is silent: jobs that it has not started go to other workers.

use super::{
    super::{
        action::Action,
        context::StepContext,
        input::{Reply, Tick},
    },
    Link, Session,
    retraction::Retraction,
};
use crate::exit::ProtocolFault;

impl Session {
    /// When jobs are due to be retracted, or a worker that is asleep is due to be checked.
    pub(super) fn retraction_due(&self) -> Option<Tick> {
        self.retraction.due(self.may_stall(), self.last_heard, self.in_flight.bytes())
    }

    pub(super) fn retract_on_time(&mut self, ctx: &mut StepContext<'_>) {
        if self.retraction_due().is_none_or(|due| due > ctx.now) {
            return;
        }
        if self.retraction.resume(ctx.now) {
            // The next retraction shows whether the worker has read this: then it is awake.
            let (worker, orders) = (self.worker, Vec::new());
            ctx.actions.push(Action::Send { worker, resume: true, orders });
        } else {
            self.retract(ctx);
        }
    }

    /// Retracts the jobs that wait behind the running one, if there are any.
    pub(in super::super) fn retract_waiting(&mut self, ctx: &mut StepContext<'_>) {
        if self.may_stall() {
            self.retract(ctx);
        }
    }

    fn may_stall(&self) -> bool {
        let can_retract = self.abilities.recorder && self.retraction == Retraction::Off;
        can_retract && self.in_flight.len() > 1
    }

    fn retract(&mut self, ctx: &mut StepContext<'_>) {
        self.retraction.ask();
        ctx.actions.push(Action::Retract(self.worker));
    }

    /// Takes the answer to a retraction, and requeues the jobs that are not started.
    ///
    /// # Errors
    /// The worker's recorder holds an impossible value, or a reply breaks the protocol.
    pub(in super::super) fn on_retracted(
        &mut self,
        started: Option<u64>,
        replies: Vec<Reply>,
        ctx: &mut StepContext<'_>,
    ) -> Result<(), ProtocolFault> {
        if self.link == Link::Broken {
            return Ok(());
        }
        let has_answered = !replies.is_empty();
        self.on_replies(replies, None, ctx)?;
        let Some(started) = started else {
            self.retraction.sleeps_on(ctx.now);
            return Ok(());
        };
        let begun = self.in_flight.begun(started).ok_or(ProtocolFault::Recorder)?;
        let was_idle = self.in_flight.is_empty();
        self.requeue_behind(begun, ctx);
        // The worker has read the resume frame of the previous retraction, so it has woken up.
        let has_woken = self.is_asleep();
        self.retraction = Retraction::Answered;
        self.rest();
        if begun == 0 && !was_idle && !has_answered && !has_woken {
            self.retraction.falls_asleep(ctx.now);
        }
        Ok(())
    }

    /// Requeues all jobs in flight but the first `kept`. They were not started.
    pub(super) fn requeue_behind(&mut self, kept: u64, ctx: &mut StepContext<'_>) {
        while self.in_flight.len() as u64 > kept
            && let Some(key) = self.in_flight.pop_last(|key| ctx.ledger.bytes(key))
        {
            ctx.ledger.requeue(key, ctx.actions);
        }
    }
}
