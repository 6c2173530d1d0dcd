//! A numbered place for a worker. A slot holds at most two processes: its current worker and,
//! while that one comes up, the retiring worker that it replaces.

use std::time::Duration;

use super::{
    context::{Contact, StepContext},
    input::Tick,
    ledger::JobKey,
    policy::Policy,
    restart::Record,
    stopping::is_replaced_at_once,
    worker::{Due, Phase, Worker},
};
use crate::{event::WorkerId, exit::StopReason, rules::Restart};

/// A worker whose replacement did not come up is not replaced again for its age or size within
/// this time.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Workers started so far; each is one generation.
    pub(super) generations: u32,
    pub(super) current: Occupant,
    /// The worker whose replacement is `current`. It serves until that is ready.
    pub(super) retiring: Option<Worker>,
    pub(super) restarts: Record,
    pub(super) stale: Stale,
    /// No worker is replaced for its age or size before this.
    pub(super) keep_until: Tick,
    /// There are to be fewer slots: no other worker follows.
    pub(super) is_surplus: bool,
    /// It has lost a worker, or was never needed, while no worker had spoken the protocol.
    pub(super) died_silent: bool,
}

/// What a slot holds besides a retiring worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a slot nearly always holds a worker")]
pub(super) enum Occupant {
    /// Nothing; a worker starts at that time.
    Vacant {
        not_before: Tick,
    },
    Worker(Worker),
    /// Nothing, and no worker follows.
    Retired(Retired),
}

/// The workers of a slot that are to be replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    /// All generations up to this one; 0 for none.
    pub(super) through: u32,
    pub(super) why: StopReason,
}

/// How a slot came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retired {
    /// Its last worker ended well, or as it was asked to.
    Well,
    /// Its last worker failed.
    Failed,
    /// Too many workers died before they were ready.
    GaveUp,
}

impl Slot {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            generations: 0,
            current: Occupant::Vacant { not_before: Tick::ZERO },
            retiring: None,
            restarts: Record::default(),
            stale: Stale { through: 0, why: StopReason::Roll },
            keep_until: Tick::ZERO,
            is_surplus: false,
            died_silent: false,
        }
    }

    /// How the slot came to rest; `None` while it has a process or will have one.
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

    /// The worker that takes jobs: the retiring one until its replacement is ready.
    pub(super) fn taker(&mut self) -> Option<&mut Worker> {
        self.workers_mut().find(|worker| worker.is_ready())
    }

    /// The job that each of its workers runs, or is about to run, and since when.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, JobKey, Tick)> {
        self.workers().filter_map(|worker| {
            let (key, since) = worker.session.running()?;
            Some((worker.id, key, since))
        })
    }

    /// The number of the last worker that was started or reinstated.
    pub(super) fn generation(&self) -> u32 {
        self.worker().map_or(self.generations, |worker| worker.id.generation)
    }

    /// When something is due.
    pub(super) fn deadline(&self, policy: &Policy, contact: Contact) -> Option<Tick> {
        let vacant = match self.current {
            Occupant::Vacant { not_before } => Some(not_before),
            Occupant::Worker(_) | Occupant::Retired(_) => None,
        };
        let workers = self.workers().filter_map(|worker| worker.deadline(policy, contact));
        workers.chain(vacant).chain(self.recycle_due(policy)).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, ctx: &mut StepContext<'_>) {
        let due = match &mut self.current {
            Occupant::Vacant { not_before } if *not_before <= ctx.now => {
                self.spawn(ctx);
                Due::Nothing
            }
            Occupant::Worker(worker) => worker.on_time(ctx),
            Occupant::Vacant { .. } | Occupant::Retired(_) => Due::Nothing,
        };
        match due {
            Due::Nothing => {}
            Due::Ready => self.hand_over(ctx),
            Due::Unkillable => self.abandon(ctx),
        }
        if self.recycle_due(ctx.policy).is_some_and(|due| due <= ctx.now) {
            self.recycle();
        }
        if self.retiring.as_mut().is_some_and(|old| old.on_time(ctx) == Due::Unkillable)
            && let Some(old) = self.retiring.take()
        {
            old.abandon(ctx);
        }
    }

    /// The current worker is ready: it takes over from the retiring one.
    pub(super) fn hand_over(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(old) = &mut self.retiring {
            old.stop(self.stale.why, true, ctx);
        }
    }

    /// The current worker was killed, and the kernel holds it. It is waited for no longer.
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
        if is_replaced && !ctx.is_stopping && !self.is_surplus {
            self.spawn(ctx);
        }
    }

    /// The replacement did not come up. A retiring worker that still serves keeps the slot.
    pub(super) fn reinstate(&mut self, now: Tick) -> bool {
        let Some(mut old) = self.retiring.take_if(|old| old.is_ready()) else { return false };
        old.session.renew();
        self.keep_until = now + KEPT_FOR;
        self.stale.through = 0;
        self.current = Occupant::Worker(old);
        true
    }

    /// All workers are to end for this reason, and no other follows. Where `drains`, they may
    /// finish the jobs that they have started.
    pub(super) fn stop(&mut self, why: StopReason, drains: bool, ctx: &mut StepContext<'_>) {
        if matches!(self.current, Occupant::Vacant { .. }) {
            self.current = Occupant::Retired(Retired::Well);
        }
        if let Some(worker) = self.worker_mut() {
            worker.stop(why, drains, ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.stop(why, drains, ctx);
        }
    }

    /// A user asked once more for the end.
    pub(super) fn press(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.press(ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.press(ctx);
        }
    }

    pub(super) fn spawn(&mut self, ctx: &mut StepContext<'_>) {
        self.generations += 1;
        let id = WorkerId { slot: self.number, generation: self.generations };
        self.current = Occupant::Worker(Worker::spawn(id, ctx));
    }

    /// Whether the slot takes jobs, or will, sooner or later.
    pub(super) fn may_take(&mut self) -> bool {
        self.is_coming() || self.taker().is_some_and(|worker| worker.session.is_reliable())
    }

    /// Whether a fresh worker is there or on its way.
    pub(super) fn is_coming(&self) -> bool {
        match &self.current {
            Occupant::Vacant { .. } => true,
            Occupant::Worker(worker) => worker.is_fresh_or_replaced(),
            Occupant::Retired(_) => false,
        }
    }

    /// Whether the slot holds nothing but a worker whose program was not executed yet.
    pub(super) fn is_unbegun(&self) -> bool {
        let is_spawned = |worker: &Worker| matches!(worker.phase, Phase::Spawned);
        self.retiring.is_none() && self.worker().is_some_and(is_spawned)
    }

    /// Whether the slot has a worker that can be counted on, or will have one.
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

    /// The current worker makes way for a fresh one once it has finished what it has started.
    pub(super) fn make_way(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.stop(StopReason::IsolatedRetry, true, ctx);
        }
    }
}
