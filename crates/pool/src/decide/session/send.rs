//! Sends jobs to a worker, as many as it may have in flight.

use super::{
    super::{action::Action, context::StepContext},
    Link, Session,
    retraction::Retraction,
};
use crate::rules::{JobRules, Prefetch};

/// A worker with at least this number of bytes in flight is sent no further job.
const AHEAD_BYTES_MAX: usize = 2 << 20;

/// Which of the jobs that have failed a worker may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in super::super) enum Choice {
    /// Those that failed in another worker.
    FailedElsewhere,
    /// All of them.
    Any,
}

impl Session {
    /// How many more jobs the worker may be sent.
    pub(in super::super) fn room(&self, rules: &JobRules) -> usize {
        let head = &self.in_flight.head;
        let is_held = self.retraction.bars_sending() || matches!(self.link, Link::Closed { .. });
        let is_held = is_held || head.is_isolated || head.limit.until().is_some();
        let is_held = is_held || self.replies.is_large;
        if is_held || self.in_flight.bytes() >= AHEAD_BYTES_MAX {
            return 0;
        }
        let depth = match rules.prefetch {
            wanted if self.streams() => self.prefetch.jobs(wanted),
            Prefetch::Fixed(jobs) if self.abilities.queues => jobs,
            _ => 1,
        };
        let free = (depth as usize).saturating_sub(self.len());
        let left = rules.recycle.jobs.map(|max| self.jobs_left(max));
        let left = left.map(|left| left.saturating_sub(self.len() as u64));
        left.and_then(|left| usize::try_from(left).ok()).map_or(free, |left| left.min(free))
    }

    /// Whether jobs may be prefetched into the worker: only if they can be retracted.
    fn streams(&self) -> bool {
        self.abilities.recorder && self.retraction == Retraction::Off
    }

    /// Sends up to `count` of the ready jobs, except those that have just failed in this worker unless
    /// it may take them all the same. Returns whether it sent any.
    pub(in super::super) fn send(
        &mut self,
        count: usize,
        choice: Choice,
        ctx: &mut StepContext<'_>,
    ) -> bool {
        let before = self.len();
        let avoided = (choice == Choice::FailedElsewhere).then_some(self.worker);
        while self.len() - before < count
            && self.in_flight.bytes() < AHEAD_BYTES_MAX
            && let Some((key, bytes)) = ctx.ledger.take_ready(avoided)
        {
            self.in_flight.push(key, bytes, ctx.now);
        }
        let is_any = self.len() > before;
        if is_any {
            self.send_behind(before, ctx);
        }
        is_any
    }

    /// Sends one job for an isolated retry. Returns whether there was one.
    pub(in super::super) fn send_isolated(&mut self, ctx: &mut StepContext<'_>) -> bool {
        let Some((key, bytes)) = ctx.ledger.take_isolated() else { return false };
        let before = self.len();
        self.in_flight.push(key, bytes, ctx.now);
        self.in_flight.head.is_isolated = true;
        self.send_behind(before, ctx);
        true
    }

    /// Sends the jobs in flight behind the first `before`.
    fn send_behind(&mut self, before: usize, ctx: &mut StepContext<'_>) {
        // The orders are collected in place: moving each one would dominate the cost of this step.
        let orders = self.in_flight.behind(before).map(|key| ctx.ledger.order(key)).collect();
        self.last_heard = ctx.now;
        let (worker, resume) = (self.worker, self.retraction.resume(ctx.now));
        ctx.actions.push(Action::Send { worker, resume, orders });
    }
}
