//! Which lives are there? By slot, since a slot has two at most: found without a search.

use pool::event::WorkerId;

/// Something for each life.
#[derive(Debug)]
pub(super) struct Lives<T>(Vec<Vec<(u32, T)>>);

impl<T> Default for Lives<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Lives<T> {
    pub(super) fn insert(&mut self, worker: WorkerId, value: T) {
        let slot = worker.slot as usize;
        if self.0.len() <= slot {
            self.0.resize_with(slot + 1, Vec::new);
        }
        self.0[slot].push((worker.life, value));
    }

    pub(super) fn get(&self, worker: WorkerId) -> Option<&T> {
        let lives = self.0.get(worker.slot as usize)?;
        lives.iter().find(|(life, _)| *life == worker.life).map(|(_, value)| value)
    }

    pub(super) fn remove(&mut self, worker: WorkerId) {
        if let Some(lives) = self.0.get_mut(worker.slot as usize) {
            lives.retain(|(life, _)| *life != worker.life);
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (WorkerId, &T)> {
        (0..).zip(&self.0).flat_map(|(slot, lives)| {
            lives.iter().map(move |(life, value)| (WorkerId { slot, life: *life }, value))
        })
    }
}
