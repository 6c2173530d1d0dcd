//! The end of a worker with jobs in flight. The recorder, which survives the worker, shows which
//! job was running. Only that job gets an attempt that ends with this death.

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
        self.requeue_behind(u64::from(was_running), ctx);
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
}
