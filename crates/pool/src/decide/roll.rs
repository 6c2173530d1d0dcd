//! Whose turn is it to be replaced? One new worker at a time has to come up, so that a program
//! that no longer does costs one start; but who has come up need not wait until the one before it
//! has done its job.

use super::{Actions, Pool, Tick, slot::Slot};

/// So many workers finish their jobs at a time while they are replaced.
const DRAINING_MAX: usize = 4;

/// How far it has got.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    /// The slots whose worker is being replaced.
    slots: Vec<usize>,
    /// Where the search for the next one begins.
    from: usize,
    /// Whether some worker is to be replaced.
    pub(super) has_stale: bool,
}

impl Rolling {
    pub(super) fn begin(&mut self) {
        self.from = 0;
        self.has_stale = true;
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.has_stale || !self.slots.is_empty()
    }

    pub(super) fn contains(&self, index: usize) -> bool {
        self.slots.contains(&index)
    }
}

impl Pool {
    /// Goes on to the next slots of a roll, as far as it may.
    pub(super) fn roll_on(&mut self, now: Tick, actions: &mut Actions) {
        let slots = &self.slots;
        self.rolling.slots.retain(|index| !slots[*index].is_settled());
        if !self.rolling.has_stale {
            return;
        }
        while let Some(index) = self.next_to_roll() {
            let (slot, mut turn) = self.turn(now, index, actions);
            slot.replace_stale(&mut turn);
            self.rolling.slots.push(index);
            self.rolling.from = index + 1;
        }
        self.rolling.has_stale = self.slots.iter().any(Slot::is_stale);
    }

    fn next_to_roll(&self) -> Option<usize> {
        let Rolling { slots: rolling, from, .. } = &self.rolling;
        if !rolling.iter().all(|index| self.slots[*index].is_draining()) {
            return None;
        }
        // Never all at once.
        let slots = self.slots.len();
        let may_drain = rolling.len() < DRAINING_MAX.min(slots - 1).max(1);
        // Who may take no more jobs has none to finish, and is of no use until its turn comes.
        let rules = self.policy.jobs.as_ref();
        let is_spent = |slot: &Slot| rules.is_some_and(|rules| slot.work.is_spent(rules));
        // Onward from the last one, or slots that are soon stale again would have all the turns.
        (*from..from + slots).map(|index| index % slots).find(|index| {
            let slot = &self.slots[*index];
            slot.may_roll() && (may_drain || is_spent(slot))
        })
    }

    /// No further slot is begun with; those it is at still settle.
    pub(super) fn call_off_roll(&mut self) {
        self.slots.iter_mut().for_each(Slot::unmark_stale);
        self.rolling.has_stale = false;
        // The age of those that wait no longer for their turn counts again.
        self.touched.extend(0..self.slots.len());
    }
}
