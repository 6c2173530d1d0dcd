//! Who gets which job? Idle workers before busy ones, and all of them a fair share of what is
//! there, so that no job waits behind another while a worker has nothing to do.

use std::time::Duration;

use super::{Actions, Pool, Tick, slot::Slot};
use crate::exit::StopReason;

/// The slots that may have room for jobs: each step looks at these and at no others, so that
/// its cost follows what happened and not the size of the pool.
#[derive(Debug)]
pub(super) struct Hungry {
    slots: Vec<usize>,
    is_in: Vec<bool>,
}

impl Hungry {
    pub(super) fn new(slots: usize) -> Self {
        Self { slots: Vec::new(), is_in: vec![false; slots] }
    }

    /// There are so many slots now.
    pub(super) fn grow(&mut self, slots: usize) {
        self.is_in.resize(slots, false);
    }

    pub(super) fn insert(&mut self, index: usize) {
        if !std::mem::replace(&mut self.is_in[index], true) {
            self.slots.push(index);
        }
    }

    /// Keeps those for which this holds.
    fn retain(&mut self, mut keep: impl FnMut(usize) -> bool) {
        let is_in = &mut self.is_in;
        self.slots.retain(|index| {
            is_in[*index] = keep(*index);
            is_in[*index]
        });
    }
}

impl Pool {
    /// Whether more jobs are wanted.
    #[must_use]
    pub fn wants_jobs(&self) -> bool {
        /// Enough to fill two workers to their depth at once.
        const READY_MIN: usize = 2048;
        /// With those that wait for their next attempt.
        const QUEUED_MAX: u64 = 64 << 10;
        const READY_BYTES_MAX: usize = 4 << 20;
        let enough = READY_MIN.max(self.slots.len() * 2);
        self.policy.jobs.is_some()
            && !self.source_ended
            && !self.is_stopping()
            && self.ledger.ready() < enough
            && self.ledger.tally().queued < QUEUED_MAX
            && self.ledger.ready_bytes() < READY_BYTES_MAX
    }

    /// Sends whatever can be sent.
    pub(super) fn dispatch(&mut self, now: Tick, actions: &mut Actions) {
        let has_jobs = self.ledger.ready() > 0 || self.ledger.has_lonely();
        let Some(rules) = self.policy.jobs.as_ref().filter(|_| has_jobs) else { return };
        if self.is_stopping() || now < self.not_before {
            return;
        }
        let delay = rules.delay;
        let slots = &mut self.slots;
        self.hungry
            .retain(|index| slots[index].taker().is_some_and(|(_, work)| work.room(rules) > 0));
        self.second_opinions(now, delay, actions);
        if now < self.not_before {
            return;
        }
        let is_idle = |slot: &mut Slot| slot.taker().is_some_and(|(_, work)| work.is_idle());
        let is_asleep = |slot: &mut Slot| slot.taker().is_some_and(|(_, work)| work.is_asleep());
        let slots = &mut self.slots;
        let asleep: Vec<usize> =
            self.hungry.slots.iter().copied().filter(|nth| is_asleep(&mut slots[*nth])).collect();
        let mut left = self.hungry.slots.len() - asleep.len();
        for idle in [true, false] {
            for nth in 0..self.hungry.slots.len() {
                let index = self.hungry.slots[nth];
                if self.ledger.ready() == 0 {
                    return;
                }
                // One that was idle is busy by the second round, and has had its share.
                if is_idle(&mut self.slots[index]) != idle || asleep.contains(&index) {
                    continue;
                }
                if !delay.is_zero() {
                    if self.send(now, index, 1, actions) {
                        self.not_before = now + delay;
                    }
                    return;
                }
                let share = self.ledger.ready().div_ceil(left.max(1));
                left = left.saturating_sub(1);
                self.send(now, index, share, actions);
            }
        }
        // Whoever sleeps may sleep for ever: it has a job only where nobody else will take one,
        // for then the job's time limit tells.
        if asleep.is_empty() || self.slots.iter_mut().any(Slot::may_take) {
            return;
        }
        for index in asleep {
            let taker = self.slots[index].taker();
            if taker.is_some_and(|(_, work)| work.sleeps_fast(now))
                && self.send(now, index, 1, actions)
                && !delay.is_zero()
            {
                self.not_before = now + delay;
                return;
            }
        }
    }

    /// Once all jobs are known, no more workers are started than there are jobs.
    pub(super) fn let_spare_go(&mut self, now: Tick, actions: &mut Actions) {
        if !self.source_ended || self.is_stopping() {
            return;
        }
        let manned = self.slots.iter().filter(|slot| slot.is_manned()).count();
        let open = usize::try_from(self.ledger.open()).unwrap_or(usize::MAX);
        let unbegun = (0..self.slots.len()).rev().filter(|index| self.slots[*index].is_unbegun());
        let spare: Vec<usize> = unbegun.take(manned.saturating_sub(open)).collect();
        for index in spare {
            let (slot, mut turn) = self.turn(now, index, actions);
            slot.stop(StopReason::Finished, true, &mut turn);
            // It will not be the one that speaks.
            self.mute[index] = true;
        }
    }

    /// Whether anything was.
    fn send(&mut self, now: Tick, index: usize, share: usize, actions: &mut Actions) -> bool {
        let (slot, mut turn) = self.turn(now, index, actions);
        let Some(rules) = &turn.policy.jobs else { return false };
        let Some((worker, work)) = slot.taker() else { return false };
        let count = work.room(rules).min(share);
        work.send(worker, count, &mut turn)
    }

    /// Jobs that killed a worker are tried once more, each alone in a fresh worker; where none
    /// is and none is coming, the least busy one makes way.
    fn second_opinions(&mut self, now: Tick, delay: Duration, actions: &mut Actions) {
        for nth in 0..self.hungry.slots.len() {
            if !self.ledger.has_lonely() {
                return;
            }
            let index = self.hungry.slots[nth];
            let (slot, mut turn) = self.turn(now, index, actions);
            if let Some((worker, work)) = slot.taker().filter(|(_, work)| work.is_fresh())
                && work.send_lonely(worker, &mut turn)
                && !delay.is_zero()
            {
                self.not_before = now + delay;
                return;
            }
        }
        if !self.ledger.has_lonely() || self.slots.iter().any(Slot::is_coming) {
            return;
        }
        let least = (0..self.slots.len())
            .filter(|index| self.slots[*index].may_make_way())
            .min_by_key(|index| self.slots[*index].work.in_hand());
        if let Some(index) = least {
            let (slot, mut turn) = self.turn(now, index, actions);
            slot.make_way(&mut turn);
        }
    }
}
