//! A slot: a numbered position for one worker at a time. While a worker is replaced, the slot holds
//! two: the current worker, and the retiring worker that it replaces.

use std::time::Duration;

use super::{
    context::{Contact, StepContext},
    input::Tick,
    ledger::JobKey,
    policy::Policy,
    restart::Crashes,
    stopping::is_replaced_at_once,
    worker::{SlotNotice, Worker, WorkerPhase},
};
use crate::{event::WorkerId, exit::StopReason, rules::Restart};

/// For this time after a replacement did not come up, the reinstated worker is not recycled.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Workers started so far; each is one generation.
    pub(super) generations: u32,
    pub(super) current: Occupant,
    /// The worker that `current` replaces. It serves until `current` is ready.
    pub(super) retiring: Option<Worker>,
    pub(super) crashes: Crashes,
    pub(super) stale: Stale,
    /// No worker is recycled before this time.
    pub(super) keep_until: Tick,
    /// Whether the pool still waits for a hello from this slot before it decides that the program
    /// does not speak the protocol. False once a worker has shown that it does not, in an added
    /// slot, and after a start that was not needed.
    pub(super) may_speak: bool,
}

/// What a slot holds besides a retiring worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a slot nearly always holds a worker")]
pub(super) enum Occupant {
    /// No worker; the next one starts at that time.
    Vacant {
        not_before: Tick,
    },
    Worker(Worker),
    /// No worker, and none follows.
    Retired(Retired),
}

/// The workers of a slot that a roll or the recycling rules replace.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    /// All generations up to this one; 0 for none.
    pub(super) through: u32,
    pub(super) why: StopReason,
}

/// The final state of a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retired {
    /// Its last worker succeeded, ended as requested, or was not needed.
    Well,
    /// Its last worker failed.
    Failed,
    /// Its workers crashed too often.
    GaveUp,
}

impl Slot {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            generations: 0,
            current: Occupant::Vacant { not_before: Tick::ZERO },
            retiring: None,
            crashes: Crashes::default(),
            stale: Stale { through: 0, why: StopReason::Roll },
            keep_until: Tick::ZERO,
            may_speak: true,
        }
    }

    /// Whether the number of workers was reduced below this slot's number: no worker follows.
    pub(super) fn is_surplus(&self, policy: &Policy) -> bool {
        self.number > policy.workers
    }

    /// The final state of the slot; `None` while it has a process or will have one.
    pub(super) fn retired(&self) -> Option<Retired> {
        match self.current {
            Occupant::Retired(how) if self.retiring.is_none() => Some(how),
            _ => None,
        }
    }

    /// The current worker.
    pub(super) fn worker(&self) -> Option<&Worker> {
        match &self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        }
    }

    pub(super) fn worker_mut(&mut self) -> Option<&mut Worker> {
        match &mut self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        }
    }

    /// The current worker, if it is ready.
    pub(super) fn ready_worker(&self) -> Option<&Worker> {
        self.worker().filter(|worker| worker.is_ready())
    }

    /// All workers of the slot, the retiring one first.
    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.retiring.iter().chain(self.worker())
    }

    pub(super) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let current = match &mut self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        };
        self.retiring.iter_mut().chain(current)
    }

    /// The worker of this generation, if the slot still holds it.
    pub(super) fn find(&mut self, worker: WorkerId) -> Option<&mut Worker> {
        self.workers_mut().find(|known| known.id == worker)
    }

    /// The worker that takes jobs: the current one, or the retiring one until that is ready.
    pub(super) fn taker(&mut self) -> Option<&mut Worker> {
        self.workers_mut().find(|worker| worker.is_ready())
    }

    /// The job that each of its workers runs or will start next, and since when.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, JobKey, Tick)> {
        self.workers().filter_map(|worker| {
            let (key, since) = worker.session.running()?;
            Some((worker.id, key, since))
        })
    }

    /// The generation of the current worker, or of the last one that was started.
    pub(super) fn generation(&self) -> u32 {
        self.worker().map_or(self.generations, |worker| worker.id.generation)
    }

    /// The earliest deadline of the slot and its workers.
    pub(super) fn deadline(&self, policy: &Policy, contact: Contact) -> Option<Tick> {
        let vacant = match self.current {
            Occupant::Vacant { not_before } => Some(not_before),
            Occupant::Worker(_) | Occupant::Retired(_) => None,
        };
        let workers = self.workers().filter_map(|worker| worker.deadline(policy, contact));
        workers.chain(vacant).chain(self.recycle_due(policy)).min()
    }

    /// Acts on the deadlines that have passed.
    pub(super) fn on_time(&mut self, ctx: &mut StepContext<'_>) {
        let due = match &mut self.current {
            Occupant::Vacant { not_before } if *not_before <= ctx.now => {
                self.spawn(ctx);
                SlotNotice::Nothing
            }
            Occupant::Worker(worker) => worker.on_time(ctx),
            Occupant::Vacant { .. } | Occupant::Retired(_) => SlotNotice::Nothing,
        };
        match due {
            SlotNotice::Nothing => {}
            SlotNotice::Ready => self.hand_over(ctx),
            SlotNotice::Unkillable => self.abandon(ctx),
        }
        if self.recycle_due(ctx.policy).is_some_and(|due| due <= ctx.now) {
            self.recycle();
        }
        if self.retiring.as_mut().is_some_and(|old| old.on_time(ctx) == SlotNotice::Unkillable)
            && let Some(old) = self.retiring.take()
        {
            old.abandon(ctx);
        }
    }

    /// Stops the retiring worker, because the current one is ready to take over.
    pub(super) fn hand_over(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(old) = &mut self.retiring {
            old.stop(self.stale.why, ctx);
        }
    }

    /// Stops waiting for the current worker, which was killed and which the kernel cannot end yet.
    fn abandon(&mut self, ctx: &mut StepContext<'_>) {
        let failed = Occupant::Retired(Retired::Failed);
        let Occupant::Worker(worker) = std::mem::replace(&mut self.current, failed) else { return };
        let why = worker.abandon(ctx);
        if self.reinstate(ctx.now) {
            return;
        }
        let is_replaced = match why {
            Some(StopReason::Killed) => ctx.policy.restart != Restart::Never,
            Some(why) => is_replaced_at_once(why),
            None => false,
        };
        if is_replaced && !ctx.is_stopping && !self.is_surplus(ctx.policy) {
            self.spawn(ctx);
        }
    }

    /// Makes the retiring worker, if it still serves, the current one again, because its
    /// replacement did not come up. Returns whether it did.
    pub(super) fn reinstate(&mut self, now: Tick) -> bool {
        let Some(mut old) = self.retiring.take_if(|old| old.is_ready()) else { return false };
        old.session.renew();
        self.keep_until = now + KEPT_FOR;
        self.stale.through = 0;
        self.current = Occupant::Worker(old);
        true
    }

    /// Stops all workers for this reason. They may finish their running jobs within the
    /// time that the urgency of the shutdown leaves.
    pub(super) fn stop(&mut self, why: StopReason, ctx: &mut StepContext<'_>) {
        if matches!(self.current, Occupant::Vacant { .. }) {
            self.current = Occupant::Retired(Retired::Well);
        }
        if let Some(worker) = self.worker_mut() {
            worker.stop(why, ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.stop(why, ctx);
        }
    }

    /// Escalates the stop of each worker by one stage, because a user repeated the request.
    pub(super) fn press(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.press(ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.press(ctx);
        }
    }

    /// Starts a slot without a worker again, although it was given up or waits for the next start.
    pub(super) fn start_again(&mut self, now: Tick) {
        if matches!(self.current, Occupant::Vacant { .. } | Occupant::Retired(Retired::GaveUp)) {
            self.crashes.forgive();
            self.current = Occupant::Vacant { not_before: now };
        }
    }

    /// Whether it was given up.
    pub(super) fn is_given_up(&self) -> bool {
        matches!(self.current, Occupant::Retired(Retired::GaveUp))
    }

    pub(super) fn spawn(&mut self, ctx: &mut StepContext<'_>) {
        self.generations += 1;
        let id = WorkerId { slot: self.number, generation: self.generations };
        self.current = Occupant::Worker(Worker::spawn(id, ctx));
    }

    /// Whether the slot takes jobs now or will later.
    pub(super) fn may_take(&mut self) -> bool {
        self.is_coming() || self.taker().is_some_and(|worker| worker.session.is_reliable())
    }

    /// Whether a fresh worker exists or is about to start.
    pub(super) fn is_coming(&self) -> bool {
        match &self.current {
            Occupant::Vacant { .. } => true,
            Occupant::Worker(worker) => worker.is_fresh_or_replaced(),
            Occupant::Retired(_) => false,
        }
    }

    /// Whether the slot holds only a worker whose program was not executed yet.
    pub(super) fn is_unbegun(&self) -> bool {
        let is_spawned = |worker: &Worker| matches!(worker.phase, WorkerPhase::Spawned);
        self.retiring.is_none() && self.worker().is_some_and(is_spawned)
    }

    /// Whether the slot has a worker that does jobs now or later, or will have one.
    pub(super) fn is_manned(&self) -> bool {
        match &self.current {
            Occupant::Vacant { .. } => true,
            Occupant::Worker(worker) => worker.is_counted_on(),
            Occupant::Retired(_) => false,
        }
    }

    pub(super) fn may_make_way(&self) -> bool {
        self.ready_worker().is_some() && self.retiring.is_none()
    }

    /// Stops the current worker after its running job, so that a fresh one replaces it.
    pub(super) fn make_way(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.stop(StopReason::IsolatedRetry, ctx);
        }
    }
}
