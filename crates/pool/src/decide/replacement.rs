//! Replacing the worker of a slot: in a roll, or because it has served long enough.

use super::{
    context::StepContext,
    input::Tick,
    policy::Policy,
    slot::{Occupant, Slot},
    worker::{Phase, Worker},
};
use crate::{event::WorkerId, exit::StopReason, rules::Roll};

impl Slot {
    /// A roll begins: the worker that is there now is to be replaced.
    pub(super) fn mark_stale(&mut self) {
        (self.stale.through, self.stale.why) = (self.generations, StopReason::Roll);
    }

    /// A roll is cancelled.
    pub(super) fn unmark_stale(&mut self) {
        self.stale.through = 0;
    }

    /// Whether a worker came after one that was to be replaced.
    pub(super) fn succeeds_stale(&self, worker: WorkerId) -> bool {
        (1..worker.generation).contains(&self.stale.through)
    }

    /// Whether its worker is to be replaced.
    pub(super) fn is_stale(&self) -> bool {
        !matches!(self.current, Occupant::Retired(_)) && self.generation() <= self.stale.through
    }

    /// Whether its worker is to be replaced and can be now.
    pub(super) fn may_roll(&self) -> bool {
        self.is_stale() && self.may_make_way()
    }

    /// Whether its replacement, if there was one, is over.
    pub(super) fn is_settled(&self) -> bool {
        let is_settled = match &self.current {
            Occupant::Worker(worker) => worker.is_ready(),
            Occupant::Retired(_) => true,
            Occupant::Vacant { .. } => false,
        };
        is_settled && self.retiring.is_none()
    }

    /// Whether its replacement waits for nothing but the old worker, which finishes its jobs.
    pub(super) fn is_draining(&self) -> bool {
        match &self.current {
            Occupant::Worker(worker) if worker.is_ready() => self.retiring.is_some(),
            Occupant::Worker(worker) => worker.is_draining() && self.retiring.is_none(),
            Occupant::Retired(_) => self.retiring.is_some(),
            Occupant::Vacant { .. } => false,
        }
    }

    /// Replaces the worker.
    pub(super) fn replace_stale(&mut self, ctx: &mut StepContext<'_>) {
        let vacant = Occupant::Vacant { not_before: ctx.now };
        match (ctx.policy.roll, &mut self.current) {
            (Roll::StopFirst, Occupant::Worker(worker)) => worker.stop(self.stale.why, true, ctx),
            (Roll::StartFirst, current @ Occupant::Worker(_)) => {
                if let Occupant::Worker(old) = std::mem::replace(current, vacant) {
                    self.retiring = Some(old);
                }
                self.spawn(ctx);
            }
            (_, Occupant::Vacant { .. } | Occupant::Retired(_)) => {}
        }
    }

    /// When its worker, which is not to be replaced yet, has served long enough.
    pub(super) fn recycle_due(&self, policy: &Policy) -> Option<Tick> {
        let rules = policy.jobs.as_ref().filter(|_| !self.is_stale())?;
        let worker = self.worker()?;
        let Worker { phase: Phase::Ready { executed }, session, .. } = worker else { return None };
        let age = rules.recycle.age.map(|age| *executed + age);
        let jobs = session.is_spent(rules).then_some(Tick::ZERO);
        age.into_iter().chain(jobs).min().map(|due| due.max(self.keep_until))
    }

    /// Its worker has served long enough.
    pub(super) fn recycle(&mut self) {
        (self.stale.through, self.stale.why) = (self.generation(), StopReason::Recycle);
    }
}
