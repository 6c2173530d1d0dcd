//! What the simulator reads of the ledger, and how it plants bugs in it.

use super::{JobKey, Ledger, index};

impl Ledger {
    /// Forgets that jobs have failed before.
    pub(in super::super) fn forget_failed(&mut self) {
        for key in std::mem::take(&mut self.failed) {
            let place = self.entries[index(key)].place;
            let at = self.ready.partition_point(|known| self.entries[index(*known)].place < place);
            self.ready.insert(at, key);
        }
    }

    /// Forgets the deaths before any job began.
    pub(in super::super) fn forget_unbegun(&mut self) {
        let histories = self.entries.iter_mut().filter_map(|entry| entry.history.as_mut());
        histories.for_each(|history| history.forget_unbegun());
    }

    /// The number of jobs in the queues.
    pub(in super::super) fn queued_keys(&self) -> usize {
        self.ready() + self.isolated.len() + self.waiting.len()
    }

    /// Whether no job is queued behind a younger one.
    pub(in super::super) fn is_in_order(&self) -> bool {
        let place = |key: &JobKey| self.entries[index(*key)].place;
        let mut queues = [&self.ready, &self.failed, &self.isolated].into_iter();
        queues.all(|queue| queue.iter().is_sorted_by_key(place))
    }
}
