//! Requests of users while a run goes on, other than stopping it: cancel a job, kill or replace
//! workers, change their number, and pause the run.

use super::{
    action::{Actions, Standing},
    input::Tick,
    pool::Pool,
    slot::{Occupant, Slot},
};
use crate::{
    event::{Event, WorkerId},
    exit::StopReason,
    rules::Restart,
};

impl Pool {
    /// Where this job is; `None` if it is settled or unknown.
    #[must_use]
    pub fn standing(&self, id: u64) -> Option<Standing> {
        let key = self.ledger.find(id)?;
        let mut running = self.slots.iter().flat_map(Slot::running);
        let worker = running.find(|(_, head, _)| *head == key).map(|(worker, ..)| worker);
        Some(worker.map_or(Standing::Waiting, Standing::Running))
    }

    /// The wanted number of workers.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.policy.workers
    }

    /// Cancels a job. A queued job is settled in this step. A running job is asked to end. A job
    /// that waits in a worker is retracted first.
    pub(super) fn cancel(&mut self, now: Tick, id: u64, at_once: bool, actions: &mut Actions) {
        let Some(key) = self.ledger.find(id) else { return };
        self.ledger.cancel(key);
        self.each_slot(now, actions, |slot, ctx| {
            for worker in slot.workers_mut().filter(|worker| worker.works()) {
                worker.session.cancel(key, at_once, ctx);
            }
        });
    }

    /// Kills workers at a user's request, and ignores those that are gone already.
    pub(super) fn kill(&mut self, now: Tick, workers: &[WorkerId], actions: &mut Actions) {
        for worker in workers {
            let Some(index) = self.slots.get(*worker) else { continue };
            let (slot, mut ctx) = self.at(now, index, actions);
            if let Some(worker) = slot.find(*worker) {
                worker.kill(&mut ctx);
            }
        }
    }

    /// Replaces workers as a roll does, and ignores those that are gone or being replaced already.
    pub(super) fn restart(&mut self, workers: &[WorkerId]) {
        if self.policy.restart != Restart::Always || self.phase.is_stopping() {
            return;
        }
        for worker in workers {
            let Some(index) = self.slots.get(*worker) else { continue };
            self.slots[index].mark_stale_worker(*worker);
            self.rolling.has_stale |= self.slots[index].is_stale();
        }
    }

    /// Pauses or resumes the run. Jobs that wait in workers are retracted, so that none begins.
    pub(super) fn pause(&mut self, now: Tick, pause: bool, actions: &mut Actions) {
        if self.policy.jobs.is_none() || self.is_paused == pause || self.phase.is_stopping() {
            return;
        }
        self.is_paused = pause;
        actions.emit(if pause { Event::Paused } else { Event::Resumed });
        if pause {
            self.each_slot(now, actions, |slot, ctx| {
                for worker in slot.workers_mut().filter(|worker| worker.works()) {
                    worker.session.retract_waiting(ctx);
                }
            });
        }
    }

    /// Changes the number of workers. Missing slots are added or used again. The workers of surplus
    /// slots finish their running jobs and are not replaced.
    pub(super) fn scale(&mut self, now: Tick, workers: u32, actions: &mut Actions) {
        if self.phase.is_stopping() || self.end().is_some() {
            return;
        }
        while self.slots.len() < workers as usize {
            self.slots.add();
        }
        let before = std::mem::replace(&mut self.policy.workers, workers);
        self.each_slot(now, actions, |slot, ctx| {
            let (was_surplus, is_surplus) = (slot.number > before, slot.is_surplus(ctx.policy));
            if is_surplus && !was_surplus {
                slot.stop(StopReason::Scale, ctx);
            } else if !is_surplus && slot.is_given_up() {
                slot.start_again(ctx.now);
            } else if was_surplus
                && !is_surplus
                && let Occupant::Retired(_) = slot.current
            {
                slot.current = Occupant::Vacant { not_before: ctx.now };
            }
        });
    }

    /// Starts the worker of a slot that has none, at a user's request.
    pub(super) fn start_slot(&mut self, now: Tick, number: u32, actions: &mut Actions) {
        let id = WorkerId { slot: number, generation: 0 };
        if self.phase.is_stopping() || self.end().is_some() || number > self.policy.workers {
            return;
        }
        let Some(index) = self.slots.get(id) else { return };
        self.at(now, index, actions).0.start_again(now);
    }

    /// Begins to replace all workers one by one, and starts the slots that were given up again.
    pub(super) fn roll(&mut self, now: Tick, actions: &mut Actions) {
        if self.policy.restart != Restart::Always {
            return;
        }
        let is_over = self.phase.is_stopping() || self.end().is_some();
        self.each_slot(now, actions, |slot, ctx| {
            slot.mark_stale();
            if !is_over && slot.is_given_up() && !slot.is_surplus(ctx.policy) {
                slot.start_again(ctx.now);
            }
        });
        self.rolling.begin();
    }
}
