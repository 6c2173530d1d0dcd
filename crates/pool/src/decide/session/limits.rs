//! Ends jobs early: at their time limit, on a user's request, or when a command holds too much
//! memory.
//!
//! At its time limit a job is examined. Then the worker is asked to end the job, if it handles such
//! requests. If the job does not end within the grace period, the worker is stopped.

use std::time::Duration;

use super::{
    super::{
        action::{Action, Cancelled},
        context::StepContext,
        input::Tick,
        ledger::{JobKey, Ledger},
    },
    Link, Session,
    head::Limit,
};
use crate::{
    exit::{ProtocolFault, StopReason},
    hang::Hang,
    rules::JobRules,
};

impl Session {
    /// The next deadline: of the running job, of a retraction, or of a worker that closed a pipe.
    pub(in super::super) fn deadline(&self, rules: &JobRules) -> Option<Tick> {
        if let Link::Closed { gone_by, .. } = self.link {
            return Some(gone_by);
        }
        let head = (!self.is_idle()).then(|| self.in_flight.head.deadline(rules)).flatten();
        head.into_iter().chain(self.retraction_due()).min()
    }

    /// Acts on the deadlines that have passed. Returns a reason if the worker must be stopped.
    pub(in super::super) fn on_time(&mut self, ctx: &mut StepContext<'_>) -> Option<StopReason> {
        if let Link::Closed { pipe, gone_by } = self.link {
            let closed = StopReason::Protocol(ProtocolFault::Closed(pipe));
            return (gone_by <= ctx.now).then_some(closed);
        }
        let timeout = ctx.policy.jobs.as_ref()?.timeout;
        self.retract_on_time(ctx);
        let id = ctx.ledger.id(self.in_flight.first()?);
        let (worker, grace) = (self.worker, self.grace(ctx));
        let head = &mut self.in_flight.head;
        if head.is_past(1, timeout, ctx.now) {
            head.limit = Limit::TimedOut { until: ctx.now + grace };
            ctx.actions.push(Action::Examine { worker, id, is_over: true });
            if self.abilities.cancels {
                ctx.actions.push(Action::Cancel { worker, id, why: Cancelled::Timeout });
            }
        } else if head.is_past(2, timeout, ctx.now) && !head.is_examined {
            head.is_examined = true;
            ctx.actions.push(Action::Examine { worker, id, is_over: false });
        }
        match self.in_flight.head.limit {
            Limit::TimedOut { until } if until <= ctx.now => Some(StopReason::Timeout),
            Limit::Cancelled { until } if until <= ctx.now => Some(StopReason::Cancelled),
            _ => None,
        }
    }

    /// The time from the request to end a job to the stop of its worker.
    fn grace(&self, ctx: &StepContext<'_>) -> Duration {
        if self.abilities.cancels { ctx.policy.grace } else { Duration::ZERO }
    }

    /// Cancels a job. If the worker runs it, it is asked to end; if it waits in the worker, it is
    /// retracted.
    pub(in super::super) fn cancel(
        &mut self,
        key: JobKey,
        at_once: bool,
        ctx: &mut StepContext<'_>,
    ) {
        if self.in_flight.first() != Some(key) {
            if self.in_flight.keys().any(|known| known == key) {
                self.retract_waiting(ctx);
            }
            return;
        }
        let grace = if at_once { Duration::ZERO } else { self.grace(ctx) };
        let head = &mut self.in_flight.head;
        if self.abilities.cancels && !head.limit.is_cancelled() {
            let (worker, id, why) = (self.worker, ctx.ledger.id(key), Cancelled::ByUser);
            ctx.actions.push(Action::Cancel { worker, id, why });
        }
        let until = ctx.now + grace;
        let until = head.limit.until().map_or(until, |before| before.min(until));
        head.limit = Limit::Cancelled { until };
    }

    /// Keeps the result of the second examination of a job.
    pub(in super::super) fn examined(&mut self, id: u64, hang: Box<Hang>, ledger: &Ledger) {
        if self.in_flight.first().is_some_and(|head| ledger.id(head) == id) {
            self.in_flight.head.hang = Some(hang);
        }
    }

    /// Asks the launcher to end the running command, because it holds `bytes` bytes. If no command
    /// runs, the sample was of one that has just ended, and is ignored.
    pub(in super::super) fn end_overweight(&mut self, bytes: u64, ctx: &mut StepContext<'_>) {
        if let Some(key) = self.in_flight.first() {
            let (worker, id, why) = (self.worker, ctx.ledger.id(key), Cancelled::Memory);
            ctx.actions.push(Action::Cancel { worker, id, why });
            let head = &mut self.in_flight.head;
            head.overweight = head.overweight.max(Some(bytes));
        }
    }
}
