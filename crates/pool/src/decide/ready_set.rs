//! The set of slots that may have room for jobs. A step visits only these, so that its cost does
//! not grow with the number of slots.

use super::slots::SlotIndex;

/// A set of slots, in the order in which they were added.
#[derive(Debug, Default)]
pub(super) struct ReadySet {
    slots: Vec<SlotIndex>,
    /// For each slot index, whether it is in `slots`.
    is_in: Vec<bool>,
}

impl ReadySet {
    pub(super) fn insert(&mut self, slot: SlotIndex) {
        let at = slot.as_usize();
        if self.is_in.len() <= at {
            self.is_in.resize(at + 1, false);
        }
        if !std::mem::replace(&mut self.is_in[at], true) {
            self.slots.push(slot);
        }
    }

    /// Keeps the slots for which this holds.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(SlotIndex) -> bool) {
        let is_in = &mut self.is_in;
        self.slots.retain(|slot| {
            let is_kept = keep(*slot);
            is_in[slot.as_usize()] = is_kept;
            is_kept
        });
    }

    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    /// The slot at this index of the set.
    pub(super) fn get(&self, nth: usize) -> Option<SlotIndex> {
        self.slots.get(nth).copied()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = SlotIndex> {
        self.slots.iter().copied()
    }
}
