//! The end of a worker with jobs in flight. The recorder, which survives the worker, shows which
//! job was running. Only that job gets an attempt that ends with this death. If none was running, the
//! job that was next may become suspected of the death: see [`history`].

use super::{
    super::{context::StepContext, history, input::Remains},
    Session,
    head::Limit,
};
use crate::{
    exit::{Cause, Evidence},
    job::{Attempt, AttemptEnd, Death},
};

impl Session {
    /// Ends the session of a worker that died. Replies that it wrote before its death count. The
    /// attempt that was running, if any, ends with this death. Jobs that were not started are
    /// requeued. Returns whether the worker ever answered a job, or was running one when it died.
    pub(in super::super) fn on_death(
        mut self,
        cause: Cause,
        evidence: Option<&Evidence>,
        remains: Remains,
        ctx: &mut StepContext<'_>,
    ) -> bool {
        // The worker is gone, so a last reply that breaks the protocol is ignored.
        let _ = self.on_replies(remains.replies, None, ctx);
        let was_running = self.in_flight.was_running(remains.started);
        let is_blamed = was_running || self.note_unbegun(cause, ctx);
        self.requeue_behind(u64::from(is_blamed), ctx);
        let Some(key) = self.in_flight.first() else { return self.has_answered() };
        let head = std::mem::take(&mut self.in_flight.head);
        let death = Death { cause, evidence: evidence.cloned(), last_output: remains.output };
        let death = Box::new(death);
        let end = match cause {
            Cause::Timeout if head.limit != Limit::NotReached => AttemptEnd::Timeout(death),
            // The stop was for the previous job, whose reply then arrived.
            Cause::Timeout => AttemptEnd::Requeued(death),
            cause if history::is_charged(cause) => AttemptEnd::Crashed(death),
            _ => AttemptEnd::Requeued(death),
        };
        let number = ctx.ledger.sent(key).attempt;
        let took = ctx.now.saturating_sub(head.since);
        let attempt = self.attempt(number, took, ctx.now, end);
        ctx.file(key, Attempt { hang: head.hang, ..attempt });
        true
    }

    /// Notes a death before the job at the head began. Returns whether it is an attempt of that job.
    /// A death that the supervisor requested says nothing about the job.
    fn note_unbegun(&self, cause: Cause, ctx: &mut StepContext<'_>) -> bool {
        let is_requested = matches!(cause, Cause::AskedToStop(_));
        let head = self.in_flight.first().filter(|_| !is_requested);
        head.is_some_and(|key| ctx.ledger.note_unbegun(key))
    }
}
