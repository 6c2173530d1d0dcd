//! Which worker is replaced next. One new worker at a time has to come up, so that a program that
//! no longer does costs one start. A new worker that is up need not wait for the old one before
//! it to finish its jobs.

use super::{
    action::Actions, input::Tick, pool::Pool, rolling::Rolling, slot::Slot, slots::SlotIndex,
};

/// The most workers that finish their jobs at a time while they are replaced.
const DRAINING_MAX: usize = 4;

impl Pool {
    /// Goes on to the next slots of a roll, as far as it may.
    pub(super) fn continue_roll(&mut self, now: Tick, actions: &mut Actions) {
        let slots = &self.slots;
        self.rolling.slots.retain(|index| !slots[*index].is_settled());
        if !self.rolling.has_stale {
            return;
        }
        while let Some(index) = self.next_to_roll() {
            let (slot, mut ctx) = self.at(now, index, actions);
            slot.replace_stale(&mut ctx);
            self.rolling.slots.push(index);
            self.rolling.from = index.as_usize() + 1;
        }
        self.rolling.has_stale = self.slots.iter().any(Slot::is_stale);
    }

    fn next_to_roll(&self) -> Option<SlotIndex> {
        let Rolling { slots: rolling, from, .. } = &self.rolling;
        if !rolling.iter().all(|index| self.slots[*index].is_draining()) {
            return None;
        }
        // Never all at once.
        let slots = self.slots.len();
        let may_drain = rolling.len() < DRAINING_MAX.min(slots - 1).max(1);
        // A worker that may take no more jobs has none to finish, and is of no use until it is
        // replaced.
        let rules = self.policy.jobs.as_ref();
        let is_spent = |slot: &Slot| {
            let session = slot.worker().map(|worker| &worker.session);
            rules.zip(session).is_some_and(|(rules, session)| session.is_spent(rules))
        };
        // Onward from the last one: else slots that soon are stale again would come first always.
        (*from..from + slots).map(|at| self.slots.wrap(at)).find(|index| {
            let slot = &self.slots[*index];
            slot.may_roll() && (may_drain || is_spent(slot))
        })
    }

    /// Begins with no further slot. Replacements that are under way still settle.
    pub(super) fn cancel_roll(&mut self) {
        self.slots.iter_mut().for_each(Slot::unmark_stale);
        self.rolling.has_stale = false;
        // The age of workers that were to be replaced counts again.
        self.dirty_slots.extend(self.slots.indices());
    }
}
