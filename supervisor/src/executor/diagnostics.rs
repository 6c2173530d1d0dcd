//! Samples the memory and the activity of workers for the pool.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use pool::{Input, MemorySample, event::WorkerId, hang::Hang};
use process::{
    memory::MemorySampler,
    proc::thread_cpu_time,
    tree::{Spent, Tree, Usage},
};

/// Takes samples and keeps what later samples are compared with.
#[derive(Debug)]
pub(super) struct Diagnostics {
    /// Whether a worker is part of the program that is sampled. A launcher is not: only its
    /// commands are the user's.
    includes_worker: bool,
    memory: MemorySampler,
    /// For each worker whose job has used half of its time: the sample taken then.
    halfway: HashMap<WorkerId, Halfway>,
}

/// What a worker's processes had used when half of the time of a job was over.
#[derive(Debug)]
struct Halfway {
    job: u64,
    at: Instant,
    used: Usage,
}

impl Diagnostics {
    pub(super) fn new(includes_worker: bool) -> Self {
        Self { includes_worker, memory: MemorySampler::default(), halfway: HashMap::new() }
    }

    /// Forgets a worker that has ended, by its id and its former pid.
    pub(super) fn forget(&mut self, worker: WorkerId, pid: Option<i32>) {
        self.halfway.remove(&worker);
        if let Some(pid) = pid {
            self.memory.forget(pid);
        }
    }

    /// Samples the memory of workers and their descendants, and the CPU time that this costs. Above
    /// `limit` bytes the sample is exact.
    pub(super) fn sample_memory(
        &mut self,
        workers: impl Iterator<Item = (WorkerId, i32)>,
        limit: u64,
    ) -> Input {
        let before = thread_cpu_time();
        self.memory.refresh();
        let sample = |(worker, pid)| {
            let found = self.memory.sample(pid, self.includes_worker, limit);
            (worker, found.unwrap_or(MemorySample::Held(0)))
        };
        let samples = workers.map(sample).collect();
        let took = thread_cpu_time().saturating_sub(before);
        Input::MemorySampled { samples, took }
    }

    /// The time for which a worker, or a process below it, has waited for a processor.
    pub(super) fn unserved(pid: i32) -> Duration {
        /// Below this, the worker itself has hardly waited, and a process below it may have.
        const NOTABLE: Duration = Duration::from_millis(100);
        let own = Tree::usage_of(pid).longest_wait();
        if own >= NOTABLE { own } else { Tree::of(pid, true).usage().longest_wait() }
    }

    /// Samples what a worker's processes do and how much they have used. The first sample of a job
    /// is kept; the second, when the time of the job `is_over`, reports the difference.
    pub(super) fn examine(
        &mut self,
        worker: WorkerId,
        pid: i32,
        job: u64,
        is_over: bool,
    ) -> Option<Input> {
        let (tree, now) = (Tree::of(pid, self.includes_worker), Instant::now());
        let used = tree.usage();
        if !is_over {
            self.halfway.insert(worker, Halfway { job, at: now, used });
            return None;
        }
        // Without a first sample there is no time to relate the use to.
        let halfway = self.halfway.remove(&worker).filter(|halfway| halfway.job == job);
        let (window, Spent { cpu, unserved }) = halfway.map_or_else(Default::default, |halfway| {
            let window = now.duration_since(halfway.at);
            (window, used.since(&halfway.used, window))
        });
        let hang = Box::new(Hang { window, cpu, unserved, processes: tree.inspect() });
        Some(Input::Examined { worker, id: job, hang })
    }
}
