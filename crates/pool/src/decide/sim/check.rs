//! Checks the promises of the pool after every step.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{
    expected::Kind,
    process::Process,
    world::{World, is_roll},
};
use crate::{
    decide::{
        halt,
        slot::{Occupant, Slot},
        worker::Worker,
    },
    event::{Tally, WorkerId},
    rules::JobRules,
};

impl World {
    pub(super) fn check(&mut self) {
        self.check_slots();
        self.check_time();
        self.check_starts();
        if self.nature.jobs {
            self.check_attempts();
            self.check_hands();
            self.check_tally();
            self.check_halts();
        }
        self.dying = None;
        self.spawned = false;
    }

    fn check_slots(&self) {
        let workers = self.pool.slots.iter().flat_map(Slot::workers);
        let held: BTreeSet<WorkerId> = workers.map(|worker| worker.id).collect();
        let live: BTreeSet<WorkerId> = self.processes.keys().copied().collect();
        assert_eq!(held, live, "the pool holds what lives");
        let mut doubled = BTreeMap::new();
        live.iter().for_each(|worker| *doubled.entry(worker.slot).or_insert(0) += 1);
        assert!(doubled.values().all(|count| *count <= 2), "two processes a slot: {doubled:?}");
        self.check_rolls();
        for slot in self.pool.slots.iter() {
            let serves = slot.retiring.as_ref().is_some_and(Worker::is_ready);
            let is_lost = serves && matches!(slot.current, Occupant::Retired(_));
            assert!(!is_lost, "slot {} is given up, and its worker serves", slot.number);
        }
        for (worker, process) in &self.processes {
            assert!(process.killed || !process.fault_heard, "{worker} broke the protocol");
        }
        assert_eq!(self.pool.late_news(), self.stale_news, "what is stale is counted, and no more");
        assert_eq!(self.pool.end().is_some(), self.finished(), "the run ends when all is at rest");
    }

    /// Only some new workers come up at a time, and only a few old ones drain, never all.
    fn check_rolls(&self) {
        let slots = &self.pool.slots;
        let comes = |slot: &&Slot| slot.retiring.as_ref().is_some_and(Worker::is_ready);
        let coming = slots.iter().filter(comes).count();
        assert!(coming <= (slots.len() / 2).max(1), "{coming} come up at a time");
        let finishes = |(_, process): &(&WorkerId, &Process)| {
            process.stopping.is_some_and(|(why, _)| is_roll(why)) && !process.line.is_empty()
        };
        let most = slots.len().clamp(2, 5) - 1;
        let count = self.processes.iter().filter(finishes).count();
        assert!(count <= most, "{count} finish their jobs");
    }

    /// Once the source has ended, no worker is started without a job for it.
    fn check_starts(&self) {
        let slots = &self.pool.slots;
        let manned = slots.iter().filter(|slot| slot.is_manned()).count() as u64;
        let is_more = manned > self.pool.ledger.open();
        let over = self.stopping.is_some() || self.is_done() || !self.source_ended;
        let is_known = self.nature.jobs && self.spawned && !over;
        let unbegun = slots.iter().any(Slot::is_unbegun);
        assert!(!is_known || !is_more || !unbegun, "a worker is started for nothing");
    }

    /// Whether no process exists and none will start.
    fn finished(&self) -> bool {
        self.processes.is_empty() && (self.to_start.is_empty() || self.is_done())
    }

    fn check_time(&self) {
        let (pool, deadline) = (&self.pool, self.pool.next_deadline());
        assert!(deadline.is_none_or(|at| at > self.now), "what was due is done");
        let stopping = self.processes.values().any(|process| process.stopping.is_some());
        assert!(!stopping || deadline.is_some(), "a stop always has its deadline");
        let slots = pool.slots.iter().filter_map(|slot| slot.deadline(&pool.policy, pool.contact));
        if let Some(due) = slots.chain(pool.other_deadline(self.now)).min() {
            assert!(deadline.is_some_and(|at| at <= due), "the timer is late: {due:?}");
        }
    }

    /// Exactly the expected attempts have ended in this step.
    fn check_attempts(&mut self) {
        for expected in std::mem::take(&mut self.expected) {
            let answer = self.answers.get(&expected.id);
            let found = self.fresh.iter().position(|(id, attempt)| {
                *id == expected.id
                    && attempt.number == expected.attempt
                    && attempt.worker == expected.worker
                    && (expected.perhaps || Kind::of(attempt, answer) == expected.end)
            });
            assert!(found.is_some() || expected.perhaps, "{expected:?}, not {:?}", self.fresh);
            if let Some(found) = found {
                self.fresh.swap_remove(found);
            }
        }
        assert!(self.fresh.is_empty(), "attempts that did not end so: {:?}", self.fresh);
    }

    /// The pool and the world agree on the jobs in flight of each worker, and on their order.
    fn check_hands(&self) {
        for Worker { id: worker, session, .. } in self.pool.slots.iter().flat_map(Slot::workers) {
            let believed = session.keys().map(|key| self.pool.ledger.id(key));
            let process = self.processes.get(worker);
            let line = process.into_iter().flat_map(|process| &process.line);
            assert!(believed.eq(line.map(|sent| sent.id)), "{worker} has these in flight");
            assert!(session.makes_sense(&self.pool.ledger), "{worker} adds up: {session:?}");
        }
    }

    fn check_tally(&self) {
        let tally = self.pool.ledger.tally();
        assert_eq!(self.reported, tally, "the tally is reported");
        let accepted = u64::try_from(self.jobs.len()).unwrap();
        assert_eq!(tally.accepted, accepted, "jobs are numbered as they come");
        let count = |is: fn(&super::world::Record) -> bool| {
            u64::try_from(self.jobs.iter().filter(|job| is(job)).count()).unwrap()
        };
        assert_eq!(tally.settled(), count(|job| job.settled), "settled");
        assert_eq!(tally.in_flight, count(|job| job.holder.is_some()), "in flight");
        let queued = count(|job| !job.settled && job.holder.is_none());
        assert_eq!(tally.queued, queued, "queued");
        assert_eq!(self.pool.ledger.queued_keys() as u64, queued, "what is queued is in a queue");
        assert!(self.pool.ledger.is_in_order(), "a job waits behind a younger one");
    }

    fn check_halts(&self) {
        let Some(rules) = &self.policy.jobs else { return };
        let over = self.stopping.is_some() || self.is_done() || self.pool.end().is_some();
        let halted = rules.halt.is_some_and(|halt| halt::is_due(halt, self.pool.ledger.tally()));
        assert!(over || !halted, "enough jobs have ended");
        assert!(over || rules.deadline.is_none_or(|at| self.now < at), "the time is over");
        let is_late = rules.deadline.is_some_and(|at| self.now >= at) && !self.is_done();
        for (worker, process) in &self.processes {
            let is_ended = process.asked.is_some() || process.killed;
            assert!(!is_late || process.line.is_empty() || is_ended, "{worker} has no more time");
        }
        // No job waits that could be sent to an idle worker.
        let paced = self.sent.is_some_and(|at| self.now < at + rules.delay);
        let queued = self.pool.ledger.ready() > 0 && !self.hold && !self.paused && !paced;
        for (worker, process) in &self.processes {
            let idle = process.ready && process.stopping.is_none() && process.line.is_empty();
            let free = idle && !process.retract_asked && !process.killed && !process.closed_heard;
            let free = free && process.asleep.is_none_or(|asleep| self.may_wake(asleep));
            let has_all = |max| process.answered >= max;
            let free = free && !rules.recycle.jobs.is_some_and(has_all) && !process.is_large;
            // After a failed replacement, its memory is measured anew.
            let was_kept = self.generations.get(&worker.slot) > Some(&worker.generation);
            let free = free && (!was_kept || rules.recycle.resident_bytes.is_none());
            let slot = self.pool.slots.get(*worker).map(|slot| &self.pool.slots[slot]);
            let current = slot.and_then(Slot::worker);
            let turn = current.is_some_and(|current| current.id == *worker);
            assert!(over || !queued || !free || !turn, "{worker} is idle, and jobs wait");
            let retracted = process.retract_asked || process.stalled || process.stopping.is_some();
            let asleep = process.asleep.is_some();
            assert!(!asleep || process.line.len() < 2 || process.lied, "{worker} sleeps on many");
            let retracted = retracted || asleep || process.closed_heard;
            let stalls = process.abilities.recorder && process.line.len() > 1 && !retracted;
            assert!(!stalls || !self.paused, "{worker} has jobs to begin, and the run is paused");
            let since = process.last_heard + Duration::from_millis(1);
            assert!(!stalls || self.now < since, "{worker} stalls, and jobs wait behind");
        }
        let slots = &self.pool.slots;
        let helped = slots.iter().any(Slot::is_coming) || !slots.iter().any(Slot::may_make_way);
        let waits = self.pool.ledger.has_isolated() && !self.hold && !self.paused && !paced;
        assert!(over || !waits || helped, "a job waits for a fresh worker, and none makes way");
    }

    pub(super) fn check_budgets(&mut self, id: u64) {
        let JobRules { retries, crash_retries, .. } = self.policy.jobs.clone().unwrap();
        let job = self.job(id);
        let failures = job.count(|end| matches!(Kind::of_end(end), Kind::Error | Kind::Timeout));
        assert!(failures <= retries as usize + 1, "job {id} has failed too often");
        assert!(job.crashes() <= crash_retries as usize + 1, "job {id} has killed too often");
        let returned = job.count(|end| Kind::of_end(end) == Kind::Requeued);
        assert!(returned <= 5, "job {id} has come back too often");
        for (number, attempt) in (1..).zip(&job.attempts) {
            assert_eq!(attempt.number, number, "attempts of job {id} are numbered in order");
        }
    }

    /// When the run has ended, every worker and every job has ended.
    pub(super) fn check_ends(&self) {
        for (slot, begun) in &self.generations {
            for generation in 1..=*begun {
                let worker = WorkerId { slot: *slot, generation };
                let is_reported = self.ended.contains(&worker);
                assert!(is_reported != self.abandoned.contains(&worker), "{worker} has one end");
            }
        }
        let open = self.jobs.iter().position(|job| !job.settled);
        assert_eq!(open, None, "every job is settled");
        let Tally { queued, in_flight, .. } = self.pool.ledger.tally();
        assert_eq!((queued, in_flight), (0, 0));
    }
}
