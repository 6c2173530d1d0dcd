//! The progress of a roll: the slots whose worker is being replaced, and where to continue.

use super::slots::SlotIndex;

/// The progress of a roll.
#[derive(Debug, Default)]
pub(super) struct Rolling {
    /// The slots whose worker is being replaced.
    pub(super) slots: Vec<SlotIndex>,
    /// Where the search for the next slot begins.
    pub(super) from: usize,
    /// Whether any worker may be stale.
    pub(super) has_stale: bool,
    /// Whether the last replacement came up, so that the program can be expected to start.
    pub(super) is_proven: bool,
}

impl Rolling {
    pub(super) fn begin(&mut self) {
        self.from = 0;
        self.has_stale = true;
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.has_stale || !self.slots.is_empty()
    }

    pub(super) fn contains(&self, index: SlotIndex) -> bool {
        self.slots.contains(&index)
    }
}
