//! Whose is a line of output? The jobs that a worker was sent and has not answered, in order.

use std::collections::VecDeque;

/// Those jobs.
#[derive(Debug, Default)]
pub(super) struct InHand {
    sent: u64,
    /// The last that was sent while there was another, or was there when another was sent.
    last_shared: u64,
    /// The how-many-th sent, and its number.
    jobs: VecDeque<(u64, u64)>,
}

impl InHand {
    /// One more, of this number, was sent.
    pub(super) fn sent(&mut self, id: u64) {
        self.sent += 1;
        if !self.jobs.is_empty() {
            self.last_shared = self.sent;
        }
        self.jobs.push_back((self.sent, id));
    }

    /// So many were answered.
    pub(super) fn answered(&mut self, count: usize) {
        let count = count.min(self.jobs.len());
        self.jobs.drain(..count);
    }

    /// Those after the `started`-th were taken back.
    pub(super) fn recalled(&mut self, started: u64) {
        self.jobs.retain(|(nth, _)| *nth <= started);
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.jobs.len()
    }

    /// The number of the one that runs, as the `running`-th of all that were sent, or would run
    /// next.
    pub(super) fn current(&self, running: u64) -> Option<u64> {
        let (first, id) = *self.jobs.front()?;
        let later = running.checked_sub(first).and_then(|later| usize::try_from(later).ok());
        let job = later.and_then(|later| self.jobs.get(later));
        Some(job.map_or(id, |(_, id)| *id))
    }

    /// Whether output that came since that job can only be about the one there is. A reply that
    /// is read may be newer than what is known of the other pipes; not so where its job was the
    /// only one, since then it is what woke us, and its output came before.
    pub(super) fn is_alone(&self, since: u64) -> bool {
        self.jobs.len() < 2 && (self.last_shared == 0 || since > self.last_shared)
    }
}
