//! Decides which worker gets which jobs. Idle workers come before busy ones, and each gets a fair
//! share of the queue, so that no job waits behind another one while a worker is idle. Workers that
//! have just failed come after the other idle ones, and a job that failed goes to another worker.

use std::time::Duration;

use super::{
    action::Actions, input::Tick, phase::RunPhase, pool::Pool, session::send::Choice, slot::Slot,
    slots::SlotIndex, worker::Worker,
};
use crate::exit::StopReason;

impl Pool {
    /// Whether the caller should read more jobs from the source.
    #[must_use]
    pub fn wants_jobs(&self) -> bool {
        /// Enough to fill two workers to the largest prefetch at once.
        const READY_MIN: usize = 2048;
        /// Includes jobs that wait for their next attempt.
        const QUEUED_MAX: u64 = 64 << 10;
        const READY_BYTES_MAX: usize = 4 << 20;
        let enough = READY_MIN.max(self.slots.len() * 2);
        self.policy.jobs.is_some()
            && matches!(self.phase, RunPhase::Open)
            && self.ledger.ready() < enough
            && self.ledger.tally().queued < QUEUED_MAX
            && self.ledger.ready_bytes() < READY_BYTES_MAX
    }

    /// Sends all jobs that can be sent now.
    pub(super) fn dispatch(&mut self, now: Tick, actions: &mut Actions) {
        let has_jobs = self.ledger.ready() > 0 || self.ledger.has_isolated();
        let Some(rules) = self.policy.jobs.as_ref().filter(|_| has_jobs) else { return };
        if self.is_paused || self.phase.is_stopping() || now < self.send_after {
            return;
        }
        let delay = rules.delay;
        let slots = &mut self.slots;
        self.ready.retain(|slot| {
            slots[slot].taker().is_some_and(|worker| worker.session.room(rules) > 0)
        });
        if self.retry_isolated(now, delay, actions) {
            return;
        }
        let is_asleep = |worker: &mut Worker| worker.session.is_asleep();
        let slots = &mut self.slots;
        let asleep: Vec<SlotIndex> =
            self.ready.iter().filter(|slot| slots[*slot].taker().is_some_and(is_asleep)).collect();
        if self.send_shares(now, delay, &asleep, actions) {
            return;
        }
        if self.ledger.has_failed() && self.retry_in_place(now, delay, &asleep, actions) {
            return;
        }
        // A worker that is asleep may never wake up. It gets a job only if no other worker takes
        // jobs, now or later; the job's time limit then ends the wait.
        if asleep.is_empty() || self.slots.iter_mut().any(Slot::may_take) {
            return;
        }
        let is_long_asleep = |worker: &mut Worker| worker.session.is_long_asleep(now);
        for slot in asleep {
            if self.slots[slot].taker().is_some_and(is_long_asleep)
                && self.send(now, slot, 1, Choice::Any, actions)
                && self.pace(now, delay)
            {
                return;
            }
        }
    }

    /// Sends a share of the ready jobs to each worker that is awake, idle workers first. Returns
    /// whether no more may be sent now.
    fn send_shares(
        &mut self,
        now: Tick,
        delay: Duration,
        asleep: &[SlotIndex],
        actions: &mut Actions,
    ) -> bool {
        let mut left = self.ready.len() - asleep.len();
        for turn in [Turn::Idle, Turn::Failing, Turn::Busy] {
            for nth in 0..self.ready.len() {
                let Some(slot) = self.ready.get(nth) else { break };
                if self.ledger.ready() == 0 {
                    return true;
                }
                // A worker that was idle in an earlier round has its share and is busy by now.
                let is_turn = self.slots[slot].taker().is_some_and(|it| Turn::of(it) == turn);
                if !is_turn || asleep.contains(&slot) {
                    continue;
                }
                if !delay.is_zero() {
                    if self.send(now, slot, 1, Choice::FailedElsewhere, actions) {
                        return self.pace(now, delay);
                    }
                    continue;
                }
                let share = self.ledger.ready().div_ceil(left.max(1));
                left = left.saturating_sub(1);
                self.send(now, slot, share, Choice::FailedElsewhere, actions);
            }
        }
        false
    }

    /// Retries jobs that no other worker can take now: an idle worker is sent them although they
    /// failed in it, unless it has failed other jobs as well. Then it is replaced by a fresh one.
    /// Returns whether no more may be sent now.
    fn retry_in_place(
        &mut self,
        now: Tick,
        delay: Duration,
        asleep: &[SlotIndex],
        actions: &mut Actions,
    ) -> bool {
        let share = if delay.is_zero() { usize::MAX } else { 1 };
        for nth in 0..self.ready.len() {
            let Some(index) = self.ready.get(nth).filter(|_| self.ledger.has_failed()) else {
                return false;
            };
            let may_refresh = self.health.may_refresh() && self.slots[index].may_make_way();
            let (slot, mut ctx) = self.at(now, index, actions);
            let Some(worker) = slot.taker() else { continue };
            if !worker.session.is_idle() || asleep.contains(&index) {
                continue;
            }
            if may_refresh && worker.session.is_suspicious(&ctx) {
                worker.replace_failing(&mut ctx);
            } else if self.send(now, index, share, Choice::Any, actions) && self.pace(now, delay) {
                return true;
            }
        }
        false
    }

    /// Applies the delay after a job that was sent. Returns whether the next job has to wait.
    fn pace(&mut self, now: Tick, delay: Duration) -> bool {
        if !delay.is_zero() {
            self.send_after = now + delay;
        }
        !delay.is_zero()
    }

    /// Sends up to `share` jobs to the worker of a slot. Returns whether it sent any.
    fn send(
        &mut self,
        now: Tick,
        slot: SlotIndex,
        share: usize,
        choice: Choice,
        actions: &mut Actions,
    ) -> bool {
        let (slot, mut ctx) = self.at(now, slot, actions);
        let Some(rules) = &ctx.policy.jobs else { return false };
        let Some(worker) = slot.taker() else { return false };
        let count = worker.session.room(rules).min(share);
        worker.session.send(count, choice, &mut ctx)
    }

    /// Sends isolated retries: each job that killed a worker runs again, alone in a fresh worker.
    /// If no fresh worker exists or is about to start, the least busy worker is replaced. Returns
    /// whether no more jobs may be sent now.
    fn retry_isolated(&mut self, now: Tick, delay: Duration, actions: &mut Actions) -> bool {
        for nth in 0..self.ready.len() {
            let Some(slot) = self.ready.get(nth).filter(|_| self.ledger.has_isolated()) else {
                return false;
            };
            let (slot, mut ctx) = self.at(now, slot, actions);
            let fresh = slot.taker().filter(|worker| worker.session.is_fresh());
            if fresh.is_some_and(|worker| worker.session.send_isolated(&mut ctx))
                && self.pace(now, delay)
            {
                return true;
            }
        }
        if !self.ledger.has_isolated() || self.slots.iter().any(Slot::is_coming) {
            return false;
        }
        let in_flight =
            |slot: &SlotIndex| self.slots[*slot].worker().map_or(0, |worker| worker.session.len());
        let candidates = self.slots.indices().filter(|slot| self.slots[*slot].may_make_way());
        if let Some(least) = candidates.min_by_key(in_flight) {
            let (slot, mut ctx) = self.at(now, least, actions);
            slot.make_way(&mut ctx);
        }
        false
    }

    /// Stops starts that are not needed: once the source has ended, there need not be more workers
    /// than unfinished jobs.
    pub(super) fn drop_spare_starts(&mut self, now: Tick, actions: &mut Actions) {
        if !matches!(self.phase, RunPhase::SourceEnded) {
            return;
        }
        let manned = self.slots.iter().filter(|slot| slot.is_manned()).count();
        let open = usize::try_from(self.ledger.open()).unwrap_or(usize::MAX);
        let unbegun = self.slots.indices().rev().filter(|slot| self.slots[*slot].is_unbegun());
        let spare: Vec<SlotIndex> = unbegun.take(manned.saturating_sub(open)).collect();
        for index in spare {
            let (slot, mut ctx) = self.at(now, index, actions);
            slot.stop(StopReason::Finished, &mut ctx);
            // This slot will not send a hello.
            slot.may_speak = false;
        }
    }
}

/// When a worker gets its share of the queue.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// First: it is idle.
    Idle,
    /// Then: it is idle, and failed its last job.
    Failing,
    /// Last: jobs may wait in it behind the one that it runs.
    Busy,
}

impl Turn {
    fn of(worker: &Worker) -> Self {
        match (worker.session.is_idle(), worker.session.failures()) {
            (true, 0) => Self::Idle,
            (true, _) => Self::Failing,
            (false, _) => Self::Busy,
        }
    }
}
