//! Remembers the last jobs that a worker answered, so that a second reply to one is recognized.

/// A second reply is recognized if fewer than this number of jobs were answered since the first.
const RECENT_MAX: usize = 16;

/// A ring of job and attempt numbers. Attempt numbers begin at 1, so zeros mark unused entries.
#[derive(Debug, Default)]
pub(super) struct Recent {
    jobs: [(u64, u32); RECENT_MAX],
    /// The number of jobs that were answered.
    count: usize,
}

impl Recent {
    /// Notes that this attempt of this job was answered.
    pub(super) fn push(&mut self, job: u64, attempt: u32) {
        self.jobs[self.count % RECENT_MAX] = (job, attempt);
        self.count = self.count.wrapping_add(1);
    }

    pub(super) fn contains(&self, job: u64, attempt: u32) -> bool {
        attempt > 0 && self.jobs.contains(&(job, attempt))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_sixteen_replies_are_known() {
        let mut recent = Recent::default();
        (1..=17).for_each(|job| recent.push(job, 1));
        assert!(!recent.contains(1, 1) && recent.contains(2, 1) && recent.contains(17, 1));
        assert!(!recent.contains(17, 2) && !recent.contains(0, 0));
    }
}
