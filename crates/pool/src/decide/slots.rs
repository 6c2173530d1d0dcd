//! The slots of a pool, and the lookup of a worker's slot by the worker's id.

use std::ops::{Index, IndexMut};

use super::slot::Slot;
use crate::event::WorkerId;

/// The index of a slot in a [`Slots`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct SlotIndex(usize);

impl SlotIndex {
    pub(super) fn as_usize(self) -> usize {
        self.0
    }
}

/// All slots, in the order of their numbers.
#[derive(Debug)]
pub(super) struct Slots(Vec<Slot>);

impl Slots {
    pub(super) fn new(count: u32) -> Self {
        Self((1..=count).map(Slot::new).collect())
    }

    /// The slot of a worker; `None` if no slot ever had its number.
    pub(super) fn get(&self, worker: WorkerId) -> Option<SlotIndex> {
        let index = usize::try_from(worker.slot).ok()?.checked_sub(1)?;
        (index < self.0.len()).then_some(SlotIndex(index))
    }

    /// The slot at this index, modulo the number of slots.
    pub(super) fn wrap(&self, at: usize) -> SlotIndex {
        SlotIndex(at % self.0.len().max(1))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Adds a slot. The pool does not wait for its worker's hello to judge the program.
    pub(super) fn add(&mut self) {
        let number = u32::try_from(self.0.len() + 1).unwrap_or(u32::MAX);
        let mut slot = Slot::new(number);
        slot.may_speak = false;
        self.0.push(slot);
    }

    pub(super) fn indices(&self) -> impl DoubleEndedIterator<Item = SlotIndex> + use<> {
        (0..self.0.len()).map(SlotIndex)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.0.iter()
    }

    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut Slot> {
        self.0.iter_mut()
    }
}

impl Index<SlotIndex> for Slots {
    type Output = Slot;

    fn index(&self, index: SlotIndex) -> &Slot {
        &self.0[index.0]
    }
}

impl IndexMut<SlotIndex> for Slots {
    fn index_mut(&mut self, index: SlotIndex) -> &mut Slot {
        &mut self.0[index.0]
    }
}
