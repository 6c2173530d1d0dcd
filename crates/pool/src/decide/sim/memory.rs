//! Random memory samples of simulated processes, and the check that exactly the processes above
//! their limit are killed for it.

use std::time::Duration;

use super::world::World;
use crate::{
    decide::{Input, MemorySample, memory_watch::DOUBTS_MAX},
    event::WorkerId,
    exit::StopReason,
};

impl World {
    /// Takes the pool's request to sample workers, which is answered some time later.
    pub(super) fn sample(&mut self, workers: Vec<WorkerId>, limit: u64) {
        assert_eq!(self.policy.limits.tree_bytes(), Some(limit));
        for worker in &workers {
            let asked = self.sampling.iter().flatten().any(|known| known == worker);
            assert!(!asked, "{worker} is being looked at");
            assert!(!self.ended.contains(worker), "{worker} has ended");
        }
        assert!(!workers.is_empty(), "there is something to look at");
        self.sampling.push_back(workers);
    }

    /// The answer to the oldest request for samples.
    pub(super) fn samples(&mut self) -> Option<Input> {
        let workers = self.sampling.pop_front()?;
        let limit = self.policy.limits.tree_bytes().unwrap_or(0);
        self.too_heavy.clear();
        let mut samples = Vec::new();
        for worker in workers {
            let is_there = self.processes.get(&worker).is_some_and(|process| process.end.is_none());
            // A worker that is gone may have been sampled before its end.
            if !is_there && self.chance.one_in(2) {
                continue;
            }
            let (is_heavy, sample) = self.sample_of(worker, limit);
            samples.push((worker, sample));
            if let Some(process) = self.processes.get_mut(&worker) {
                process.near_limit =
                    matches!(sample, MemorySample::Held(bytes) if bytes >= limit / 8 * 7);
            }
            if is_heavy {
                self.too_heavy.insert(worker);
                if let Some(process) = self.processes.get_mut(&worker) {
                    process.heavy = true;
                }
            }
        }
        Some(Input::MemorySampled { samples, took: Duration::from_micros(self.chance.below(4000)) })
    }

    /// A random sample, and whether it must end the worker.
    fn sample_of(&mut self, worker: WorkerId, limit: u64) -> (bool, MemorySample) {
        let light = self.chance.below(limit + 1);
        let over = limit + 1 + light;
        if self.chance.one_in(3) {
            let doubts = self.doubts.entry(worker).or_default();
            *doubts = (*doubts + 1) % (DOUBTS_MAX + 1);
            return (*doubts == 0, MemorySample::Doubtful(over));
        }
        self.doubts.remove(&worker);
        let is_heavy = self.chance.one_in(20);
        (is_heavy, MemorySample::Held(if is_heavy { over } else { light }))
    }

    /// Workers with a sample above the limit are killed in the same step.
    pub(super) fn check_samples(&mut self) {
        for worker in std::mem::take(&mut self.too_heavy) {
            let killed = self.processes.get(&worker).is_none_or(|process| process.killed);
            assert!(killed, "{worker} is too heavy, and lives");
        }
    }

    /// Whether a worker may be killed for this reason.
    pub(super) fn is_too_heavy(&self, worker: WorkerId, why: StopReason) -> bool {
        assert!(why != StopReason::Memory || self.too_heavy.contains(&worker), "{worker} is light");
        why == StopReason::Memory
    }
}
