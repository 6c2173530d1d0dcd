//! How heavy are the processes of the simulated world? By chance; and who is found too heavy dies
//! for it, and nobody else does.

use std::time::Duration;

use super::world::World;
use crate::{
    decide::{Input, MemorySample},
    event::WorkerId,
    exit::StopReason,
};

impl World {
    /// They are to be looked at; some time later they are.
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

    /// What was found of those who were to be looked at first.
    pub(super) fn samples(&mut self) -> Option<Input> {
        let workers = self.sampling.pop_front()?;
        let limit = self.policy.limits.tree_bytes().unwrap_or(0);
        self.too_heavy.clear();
        let mut samples = Vec::new();
        for worker in workers {
            let is_there = self.processes.get(&worker).is_some_and(|process| process.end.is_none());
            // Of one that is gone by now the last figure may still be had.
            if !is_there && self.chance.one_in(2) {
                continue;
            }
            let is_heavy = self.chance.one_in(20);
            let light = self.chance.below(limit + 1);
            let held = if is_heavy { limit + 1 + light } else { light };
            // What is shared counts more than once where it is cheap to count.
            let sum = held + self.chance.below(limit);
            let exactly = (sum > limit).then_some(held);
            samples
                .push((worker, MemorySample { resident_bytes: sum, proportional_bytes: exactly }));
            if is_heavy {
                self.too_heavy.insert(worker);
                if let Some(process) = self.processes.get_mut(&worker) {
                    process.heavy = true;
                }
            }
        }
        Some(Input::MemorySampled { samples, took: Duration::from_micros(self.chance.below(4000)) })
    }

    /// After each step.
    pub(super) fn check_samples(&mut self) {
        for worker in std::mem::take(&mut self.too_heavy) {
            let killed = self.processes.get(&worker).is_none_or(|process| process.killed);
            assert!(killed, "{worker} is too heavy, and lives");
        }
    }

    /// Whether it may be killed for this.
    pub(super) fn is_too_heavy(&self, worker: WorkerId, why: StopReason) -> bool {
        assert!(why != StopReason::Memory || self.too_heavy.contains(&worker), "{worker} is light");
        why == StopReason::Memory
    }
}
