//! Replaces the worker of a slot: in a roll, or to recycle a worker that reached its limit of jobs,
//! memory or age.

use super::{
    context::StepContext,
    input::Tick,
    policy::Policy,
    slot::{Occupant, Slot},
    worker::{Worker, WorkerPhase},
};
use crate::{event::WorkerId, exit::StopReason, rules::Roll};

impl Slot {
    /// Marks all workers of the slot so far as stale, because a roll begins.
    pub(super) fn mark_stale(&mut self) {
        (self.stale.through, self.stale.why) = (self.generations, StopReason::Roll);
    }

    /// Marks the current worker as stale, because a user wants it replaced.
    pub(super) fn mark_stale_worker(&mut self, worker: WorkerId) {
        if self.worker().is_some_and(|current| current.id == worker) {
            self.mark_stale();
        }
    }

    /// Removes the mark, because a roll is cancelled or the replacement did not come up.
    pub(super) fn unmark_stale(&mut self) {
        self.stale.through = 0;
    }

    /// Whether a worker is the replacement of a stale one.
    pub(super) fn succeeds_stale(&self, worker: WorkerId) -> bool {
        (1..worker.generation).contains(&self.stale.through)
    }

    /// Whether the current worker is stale.
    pub(super) fn is_stale(&self) -> bool {
        !matches!(self.current, Occupant::Retired(_)) && self.generation() <= self.stale.through
    }

    /// Whether the current worker is stale and its replacement can begin now.
    pub(super) fn may_roll(&self) -> bool {
        self.is_stale() && self.may_make_way()
    }

    /// Whether no replacement is under way in this slot.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = match &self.current {
            Occupant::Worker(worker) => worker.is_ready(),
            Occupant::Retired(_) => true,
            Occupant::Vacant { .. } => false,
        };
        is_settled && self.retiring.is_none()
    }

    /// Whether the worker that replaces a stale one is ready.
    pub(super) fn is_replaced(&self) -> bool {
        let (through, worker) = (self.stale.through, self.ready_worker());
        through > 0 && worker.is_some_and(|worker| worker.id.generation > through)
    }

    /// Whether the replacement only waits for the old worker to finish its jobs.
    pub(super) fn is_draining(&self) -> bool {
        match &self.current {
            Occupant::Worker(worker) if worker.is_ready() => self.retiring.is_some(),
            Occupant::Worker(worker) => worker.is_draining() && self.retiring.is_none(),
            Occupant::Retired(_) => self.retiring.is_some(),
            Occupant::Vacant { .. } => false,
        }
    }

    /// Begins to replace the current worker, in the way that the policy sets.
    pub(super) fn replace_stale(&mut self, ctx: &mut StepContext<'_>) {
        let vacant = Occupant::Vacant { not_before: ctx.now };
        match (ctx.policy.roll, &mut self.current) {
            (Roll::StopFirst, Occupant::Worker(worker)) => worker.stop(self.stale.why, ctx),
            (Roll::StartFirst, current @ Occupant::Worker(_)) => {
                if let Occupant::Worker(old) = std::mem::replace(current, vacant) {
                    self.retiring = Some(old);
                }
                self.spawn(ctx);
            }
            (_, Occupant::Vacant { .. } | Occupant::Retired(_)) => {}
        }
    }

    /// When the current worker is due to be recycled; `None` if it is not, or is stale already.
    pub(super) fn recycle_due(&self, policy: &Policy) -> Option<Tick> {
        let rules = policy.jobs.as_ref().filter(|_| !self.is_stale())?;
        let worker = self.worker()?;
        let Worker { phase: WorkerPhase::Ready { executed }, session, .. } = worker else {
            return None;
        };
        let age = rules.recycle.age.map(|age| *executed + session.age_max(age));
        let jobs = session.is_spent(rules).then_some(Tick::ZERO);
        age.into_iter().chain(jobs).min().map(|due| due.max(self.keep_until))
    }

    /// Marks the current worker as stale, because it reached a limit of the recycling rules.
    pub(super) fn recycle(&mut self) {
        (self.stale.through, self.stale.why) = (self.generation(), StopReason::Recycle);
    }
}
