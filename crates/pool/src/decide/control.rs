//! What users ask of a run while it goes on, besides its end: to cancel a job, to kill workers, and
//! to have more workers or fewer.

use super::{
    action::{Actions, Standing},
    input::Tick,
    pool::Pool,
    slot::{Occupant, Retired, Slot},
};
use crate::{event::WorkerId, exit::StopReason};

impl Pool {
    /// Where this job stands; `None` if it is settled, or never was.
    #[must_use]
    pub fn standing(&self, id: u64) -> Option<Standing> {
        let key = self.ledger.find(id)?;
        let mut running = self.slots.iter().flat_map(Slot::running);
        let worker = running.find(|(_, head, _)| *head == key).map(|(worker, ..)| worker);
        Some(worker.map_or(Standing::Waiting, Standing::Running))
    }

    /// The number of workers that are wanted.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.policy.workers
    }

    /// A job that waits is settled. One that runs is to end, and one that was sent and has not
    /// begun is retracted first.
    pub(super) fn cancel(&mut self, now: Tick, id: u64, at_once: bool, actions: &mut Actions) {
        let Some(key) = self.ledger.find(id) else { return };
        self.ledger.cancel(key);
        self.each_slot(now, actions, |slot, ctx| {
            for worker in slot.workers_mut().filter(|worker| worker.works()) {
                worker.session.cancel(key, at_once, ctx);
            }
        });
    }

    /// A user kills workers. Those that are gone already are left out.
    pub(super) fn kill(&mut self, now: Tick, workers: &[WorkerId], actions: &mut Actions) {
        for worker in workers {
            let Some(index) = self.slots.get(*worker) else { continue };
            let (slot, mut ctx) = self.at(now, index, actions);
            if let Some(worker) = slot.find(*worker) {
                worker.kill(&mut ctx);
            }
        }
    }

    /// Slots are added or taken up again; those beyond the new number finish what they do, and
    /// their workers have no successors.
    pub(super) fn scale(&mut self, now: Tick, workers: u32, actions: &mut Actions) {
        if self.phase.is_stopping() {
            return;
        }
        while self.slots.len() < workers as usize {
            self.slots.add();
        }
        self.policy.workers = workers;
        self.each_slot(now, actions, |slot, ctx| {
            let is_surplus = slot.number > workers;
            if is_surplus == slot.is_surplus {
                return;
            }
            slot.is_surplus = is_surplus;
            if is_surplus {
                slot.stop(StopReason::Scale, true, ctx);
            } else if matches!(slot.current, Occupant::Retired(Retired::Well)) {
                slot.current = Occupant::Vacant { not_before: ctx.now };
            }
        });
    }
}
