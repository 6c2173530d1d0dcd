//! What do workers hold, and what do they do? A look at their processes, for the pool.

use std::{collections::HashMap, time::Instant};

use super::Executor;
use pool::{Input, Weight, event::WorkerId, hang::Hang};
use process::{
    memory::TreeMemory,
    proc::thread_cpu_time,
    tree::{Spent, Tree, Usage},
};

/// What was seen of workers when half the time of their job was over.
pub(super) type HalfTime = HashMap<WorkerId, (u64, Instant, Usage)>;

impl Executor {
    pub(super) fn weigh(&mut self, workers: &[WorkerId], limit: u64) {
        let before = thread_cpu_time();
        self.scales.refresh();
        let with_itself = self.is_program();
        let (lives, scales) = (&self.lives, &mut self.scales);
        let weigh = |worker: &WorkerId| {
            let pid = lives.get(*worker)?.leader.pid()?;
            let found = scales.sample(pid, with_itself, limit).unwrap_or_default();
            let TreeMemory { resident_bytes, proportional_bytes } = found;
            Some((*worker, Weight { resident_bytes, proportional_bytes }))
        };
        let weights = workers.iter().filter_map(weigh).collect();
        let took = thread_cpu_time().saturating_sub(before);
        self.inbox.put(Input::Weighed { weights, took });
    }

    pub(super) fn examine(&mut self, worker: WorkerId, id: u64, is_over: bool) {
        let Some(pid) = self.lives.get(worker).and_then(|life| life.leader.pid()) else { return };
        let (tree, now) = (Tree::of(pid, self.is_program()), Instant::now());
        let used = tree.usage();
        if !is_over {
            self.half_time.insert(worker, (id, now, used));
            return;
        }
        // Where there was no first look, there is no time to compare with.
        let first = self.half_time.remove(&worker).filter(|(known, ..)| *known == id);
        let (window, spent) = first.map_or_else(Default::default, |(_, then, before)| {
            let window = now.duration_since(then);
            (window, used.since(&before, window))
        });
        let Spent { cpu, unserved } = spent;
        let hang = Box::new(Hang { window, cpu, unserved, processes: tree.inspect() });
        self.inbox.put(Input::Examined { worker, id, hang });
    }

    /// Whether workers are the user's program: a launcher is none of its command's processes.
    fn is_program(&self) -> bool {
        self.commands.is_none()
    }
}
