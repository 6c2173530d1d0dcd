//! The end of a worker with jobs in flight: the job that ran, by the record that outlives the
//! worker, has this death, and no other job has.

use super::{
    super::{context::StepContext, history, input::Left},
    Session,
    head::Limit,
};
use crate::{
    exit::{Cause, Evidence},
    job::{Attempt, AttemptEnd, Death},
};

impl Session {
    /// The worker died. Replies that it left count; the job that ran, if any, has this death; and
    /// jobs that were not started are requeued as if they had never been sent. Returns whether the
    /// worker ever did a job, or died of one.
    pub(in super::super) fn on_death(
        mut self,
        cause: Cause,
        evidence: Option<&Evidence>,
        left: Left,
        ctx: &mut StepContext<'_>,
    ) -> bool {
        // The worker is gone: a last reply that makes no sense is ignored.
        let _ = self.on_replies(left.replies, None, ctx);
        let was_running = self.in_flight.was_running(left.started);
        self.requeue_behind(u64::from(was_running), ctx);
        let Some(key) = self.in_flight.first() else { return self.has_answered() };
        let head = std::mem::take(&mut self.in_flight.head);
        let death = Death { cause, evidence: evidence.cloned(), last_output: left.output };
        let death = Box::new(death);
        let end = match cause {
            Cause::Timeout if head.limit != Limit::NotReached => AttemptEnd::Timeout(death),
            // The job before it took too long, and ended after all.
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
