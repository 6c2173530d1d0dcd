//! The starts of workers: when a slot is given up, how it is started again, and how long a worker
//! may take to say hello.

use std::time::Duration;

use super::world::World;
use crate::{
    decide::{Input, Tick},
    event::{Ended, Next, WorkerId},
    exit::{Cause, ProcessEnd, Sender},
    rules::Restart,
};

impl World {
    /// A worker has ended: its slot is given up only after enough crashes within the period.
    pub(super) fn slot_ends(&mut self, ended: &Ended) {
        let slot = ended.worker.slot;
        let end = self.dying.as_ref().and_then(|(_, process)| process.end.as_ref());
        let is_transient =
            matches!(end, Some(ProcessEnd::NeverStarted(fault)) if fault.is_transient());
        let is_excused = matches!(
            ended.cause,
            Cause::Signal(Sender::Outside) | Cause::AskedToStop(_) | Cause::CouldNotStart(_)
        );
        let crashes = self.crashes.entry(slot).or_default();
        if !is_transient && (!is_excused || matches!(ended.cause, Cause::CouldNotStart(_))) {
            crashes.push(self.now);
        }
        let intensity = self.policy.intensity;
        let is_recent = |at: &&Tick| **at + intensity.period > self.now;
        let recent = crashes.iter().filter(is_recent).count();
        match ended.next {
            Next::Restart(delay) => {
                self.to_start.insert(slot, self.now + delay);
            }
            Next::GaveUp => {
                assert!(recent >= intensity.crashes as usize, "w{slot} is given up too soon");
                self.given_up.insert(slot);
            }
            Next::Replaced | Next::NotNeeded | Next::Done => {}
        }
    }

    fn is_over(&self) -> bool {
        self.stopping.is_some() || self.is_done() || self.pool.end().is_some()
    }

    /// A slot that was given up is started again at once.
    pub(super) fn start_again(&mut self, slot: u32) {
        if self.given_up.remove(&slot) {
            self.crashes.remove(&slot);
            self.to_start.insert(slot, self.now);
        }
    }

    /// A user asks for a roll, which starts slots again that were given up.
    pub(super) fn roll(&mut self) -> Input {
        if !self.is_over() && self.policy.restart == Restart::Always {
            let workers = self.workers();
            self.given_up.clone().into_iter().filter(|slot| *slot <= workers).for_each(|slot| {
                self.start_again(slot);
            });
        }
        Input::Roll
    }

    /// A user starts the worker of some slot, whether or not it has one.
    pub(super) fn start_some(&mut self) -> Input {
        let slot = 1 + u32::try_from(self.chance.below(6)).unwrap();
        if !self.is_over() && slot <= self.workers() {
            self.start_again(slot);
            if let Some(not_before) = self.to_start.get_mut(&slot) {
                self.crashes.remove(&slot);
                *not_before = self.now;
            }
        }
        Input::StartSlot(slot)
    }

    /// The wanted number of workers.
    pub(super) fn workers(&self) -> u32 {
        if self.scale > 0 { self.scale } else { self.policy.workers }
    }

    /// The pool asks how long a worker has waited for a processor.
    pub(super) fn examine_start(&mut self, worker: WorkerId) {
        let timeout = self.policy.jobs.as_ref().map(|rules| rules.start_timeout).unwrap();
        let now = self.now;
        let process = self.process(worker);
        assert!(!process.ready && process.stopping.is_none(), "{worker} is examined for nothing");
        assert!(process.executed_at + timeout + process.unserved <= now, "{worker} has time");
        self.start_examinations.push_back(worker);
    }

    /// The answer to the oldest of these questions.
    pub(super) fn start_examined(&mut self) -> Option<Input> {
        let worker = self.start_examinations.pop_front()?;
        let starves = self.chance.one_in(2);
        let now = self.now;
        let share = self.chance.below(1000);
        let unserved = match self.processes.get_mut(&worker) {
            Some(process) if starves => {
                let up = u64::try_from((now - process.executed_at).as_micros()).unwrap();
                process.unserved = Duration::from_micros(up / 1000 * share).max(process.unserved);
                process.unserved
            }
            Some(process) => process.unserved,
            None => Duration::ZERO,
        };
        Some(Input::StartExamined { worker, unserved })
    }

    /// A worker is killed because it did not say hello: it had its time, not counting the time in
    /// which it had no processor.
    pub(super) fn check_silence(&self, worker: WorkerId) {
        let timeout = self.policy.jobs.as_ref().map(|rules| rules.start_timeout).unwrap();
        let process = &self.processes[&worker];
        let due = process.executed_at + timeout + process.unserved;
        assert!(due <= self.now, "{worker} is killed before its time to say hello is over");
    }
}
