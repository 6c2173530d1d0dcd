//! Random requests of users: cancelling jobs, killing and replacing workers, changing their number,
//! and pausing the run.

use super::world::World;
use crate::{
    decide::{Input, slot::Slot},
    event::WorkerId,
};

impl World {
    /// A user cancels a job, perhaps one that is settled.
    pub(super) fn cancel_some(&mut self) -> Input {
        let nth = self.chance.index(self.jobs.len());
        let id = u64::try_from(nth + 1).unwrap();
        if !self.jobs[nth].settled {
            self.cancelled.insert(id);
            for process in self.processes.values_mut() {
                let is_ending = process.asked.is_some() || process.killed;
                if !is_ending && process.line.front().is_some_and(|head| head.id == id) {
                    process.cancelled = Some(id);
                }
            }
        }
        Input::Cancel { id, now: self.chance.one_in(2) }
    }

    /// A user kills one or two workers, perhaps some that are gone.
    pub(super) fn kill_some(&mut self) -> Input {
        let mut workers: Vec<WorkerId> = self.processes.keys().copied().collect();
        workers.extend(self.ended.iter().next_back());
        while workers.len() > 1 && (workers.len() > 2 || self.chance.one_in(2)) {
            workers.swap_remove(self.chance.index(workers.len()));
        }
        for worker in &workers {
            if let Some(process) = self.processes.get_mut(worker) {
                process.condemned = true;
            }
        }
        Input::Kill { workers }
    }

    /// A user replaces a worker, perhaps one that is gone.
    pub(super) fn restart_some(&mut self) -> Input {
        let mut workers: Vec<WorkerId> = self.processes.keys().copied().collect();
        workers.extend(self.ended.iter().next_back());
        if !workers.is_empty() {
            workers = vec![workers[self.chance.index(workers.len())]];
        }
        Input::Restart { workers }
    }

    /// A user pauses or resumes the run, or asks for what it does already.
    pub(super) fn pause_or_resume(&mut self) -> Input {
        let pause = self.chance.one_in(3);
        if !self.pool.phase.is_stopping() {
            self.paused = pause;
        }
        Input::Pause(pause)
    }

    /// Workers that a user kills are killed in the same step.
    pub(super) fn check_condemned(&self) {
        for (worker, process) in &self.processes {
            assert!(process.killed || !process.condemned, "{worker} was to be killed");
        }
    }

    /// A user changes the number of workers. An added slot starts a worker, and a surplus slot
    /// starts no further one.
    pub(super) fn scale_by_chance(&mut self) -> Input {
        let workers = 1 + u32::try_from(self.chance.below(8)).unwrap();
        let before = self.workers();
        let is_over = self.stopping.is_some() || self.is_done() || self.pool.end().is_some();
        if !is_over {
            self.scale = workers;
            self.to_start.retain(|slot, _| *slot <= workers);
            let is_manned = |slot: u32| {
                let mut slots = self.pool.slots.iter();
                slots.any(|known: &Slot| known.number == slot && known.retired().is_none())
            };
            for slot in (before + 1..=workers).filter(|slot| !is_manned(*slot)) {
                self.given_up.remove(&slot);
                self.to_start.insert(slot, self.now);
            }
            (1..=workers).for_each(|slot| self.start_again(slot));
        }
        Input::Scale(workers)
    }
}
