//! Decides which stale worker is replaced next. A worker is stale if a roll or the recycling rules
//! replace it.
//!
//! In a roll only one new worker comes up at a time, so that a program that no longer starts costs a
//! single start. The next replacement begins once the new worker is ready, even while the old one
//! still finishes its jobs. Workers are recycled in the same way until the first replacement has come
//! up. From then on up to half of the slots are replaced at a time, because recycling is routine: a
//! worker at its limit takes no jobs while it waits for its turn.

use super::{
    action::Actions, input::Tick, pool::Pool, rolling::Rolling, slot::Slot, slots::SlotIndex,
};
use crate::exit::StopReason;

/// The largest number of replaced workers that finish their jobs at the same time.
const DRAINING_MAX: usize = 4;

impl Pool {
    /// Begins to replace stale workers, as far as the rules of a roll allow.
    pub(super) fn continue_roll(&mut self, now: Tick, actions: &mut Actions) {
        let slots = &self.slots;
        self.rolling.is_proven |= self.rolling.slots.iter().any(|it| slots[*it].is_replaced());
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
        let Rolling { slots: rolling, from, is_proven, .. } = &self.rolling;
        let slots = self.slots.len();
        let coming = rolling.iter().filter(|index| !self.slots[**index].is_draining()).count();
        // Never all workers at once.
        let may_begin = |slot: &Slot, at_once: usize| {
            let is_routine = slot.stale.why == StopReason::Recycle && *is_proven;
            let at_once = if is_routine { (slots / 2).max(at_once) } else { at_once };
            at_once.min(slots - 1).max(1)
        };
        // An idle worker at its limit takes no more jobs: it is replaced without further delay.
        let rules = self.policy.jobs.as_ref();
        let is_spent = |slot: &Slot| {
            let session = slot.worker().map(|worker| &worker.session);
            let session = session.filter(|session| session.is_idle());
            rules.zip(session).is_some_and(|(rules, session)| session.is_spent(rules))
        };
        // The search continues after the last slot. Otherwise slots at the front that soon become
        // stale again would always come first.
        (*from..from + slots).map(|at| self.slots.wrap(at)).find(|index| {
            let slot = &self.slots[*index];
            let may_drain = rolling.len() < may_begin(slot, DRAINING_MAX);
            let may_come = coming < may_begin(slot, 1);
            slot.may_roll() && may_come && (may_drain || is_spent(slot))
        })
    }

    /// Begins no further replacement. Those under way are completed.
    pub(super) fn cancel_roll(&mut self) {
        self.slots.iter_mut().for_each(Slot::unmark_stale);
        (self.rolling.has_stale, self.rolling.is_proven) = (false, false);
        // The recycling deadlines of workers that are no longer stale apply again.
        self.dirty_slots.extend(self.slots.indices());
    }
}
