//! What can be asked of a run while it goes on, besides to end: a job is cancelled, and there shall be
//! more workers or fewer.

use super::{
    Actions, Pool, Tick,
    shutdown::Haste,
    slot::{Retired, Slot, State},
    step::Standing,
};
use crate::{event::WorkerId, exit::StopReason};

impl Pool {
    /// Where this job stands; `None` where it is settled, or never was.
    #[must_use]
    pub fn standing(&self, id: u64) -> Option<Standing> {
        let key = self.ledger.find(id)?;
        let runs = |slot: &Slot| slot.running().find(|(_, first, _)| *first == key);
        let worker = self.slots.iter().find_map(|slot| runs(slot).map(|(worker, ..)| worker));
        Some(worker.map_or(Standing::Waiting, Standing::Running))
    }

    /// A job that waits is settled; one that runs is to end; one that was sent and has not begun is
    /// asked back first.
    pub(super) fn cancel(&mut self, now: Tick, id: u64, at_once: bool, actions: &mut Actions) {
        let Some(key) = self.ledger.find(id) else { return };
        self.ledger.cancel(key);
        self.each_slot(now, actions, |slot, turn| {
            for (worker, work) in slot.works() {
                work.cancel(worker, key, at_once, turn);
            }
        });
    }

    /// A user kills workers. Of those that are gone already nothing is left to be done.
    pub(super) fn kill(&mut self, now: Tick, workers: &[WorkerId], actions: &mut Actions) {
        for worker in workers {
            let index = usize::try_from(worker.slot).unwrap_or(0).wrapping_sub(1);
            if index < self.slots.len() {
                let (slot, mut turn) = self.turn(now, index, actions);
                slot.kill_for_user(worker.life, &mut turn);
            }
        }
    }

    /// How many workers are wanted.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.policy.workers
    }

    /// Slots are added, or taken up again, or their workers finish what they do and have no
    /// successors.
    pub(super) fn scale(&mut self, now: Tick, workers: u32, actions: &mut Actions) {
        if self.is_stopping() || self.shutdown.haste() > Some(Haste::None) {
            return;
        }
        let count = workers as usize;
        while self.slots.len() < count {
            let number = u32::try_from(self.slots.len() + 1).unwrap_or(u32::MAX);
            self.slots.push(Slot::new(number));
            self.mute.push(true);
            self.hungry.grow(self.slots.len());
        }
        self.policy.workers = workers;
        self.each_slot(now, actions, |slot, turn| {
            let is_surplus = slot.number > workers;
            if is_surplus == slot.is_surplus {
                return;
            }
            slot.is_surplus = is_surplus;
            if is_surplus {
                slot.stop(StopReason::Scale, true, turn);
            } else if matches!(slot.state, State::Retired(Retired::Well)) {
                slot.state = State::Empty { not_before: turn.now };
            }
        });
    }
}
