//! Checks that a worker which fails one job after another is replaced if others succeed, and is not
//! if every job fails everywhere.

use super::{process::Process, world::World};
use crate::{event::WorkerId, job::AttemptEnd, rules::RecycleFailures};

/// The failures of a process in a row, and the replies of others meanwhile.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct FailureRecord {
    /// Different jobs that it has failed since it last succeeded.
    pub(super) row: u32,
    last: u64,
    others_ok: u32,
    others_failed: u32,
}

impl World {
    /// A worker has succeeded at a job, or failed it.
    pub(super) fn note_reply(&mut self, worker: WorkerId, job: u64, is_ok: bool) {
        for (other, process) in &mut self.processes {
            let record = &mut process.record;
            match (*other == worker, is_ok) {
                (true, true) => *record = FailureRecord::default(),
                (true, false) if record.row > 0 && record.last == job => {}
                (true, false) if record.row == 0 => {
                    *record = FailureRecord { row: 1, last: job, ..FailureRecord::default() };
                }
                (true, false) => (record.row, record.last) = (record.row + 1, job),
                (false, true) => record.others_ok += 1,
                (false, false) => record.others_failed += 1,
            }
        }
        if is_ok {
            self.in_vain = 0;
        }
        self.replied = Some(worker);
    }

    /// A worker that has just failed again, while others succeed, is replaced.
    pub(super) fn check_failing(&mut self) {
        let in_vain = std::mem::replace(&mut self.in_vain_before, self.in_vain);
        let Some(worker) = self.replied.take() else { return };
        let Some(process) = self.processes.get(&worker) else { return };
        let FailureRecord { row, others_ok, others_failed, .. } = process.record;
        let is_broken = match self.recycle_failures() {
            RecycleFailures::Auto => {
                let is_no_chance = row.checked_shr(in_vain).unwrap_or(0) >= 6;
                is_no_chance && others_ok >= 6 && others_failed == 0
            }
            RecycleFailures::After(jobs) => row >= jobs,
            RecycleFailures::Never => false,
        };
        let is_left = process.ready && process.stopping.is_none() && !process.fault_heard;
        assert!(!is_broken || !is_left, "{worker} fails all, and stays");
    }

    /// A worker is stopped because of its failures: there are enough of them, more each time that
    /// this has not helped.
    pub(super) fn stops_failing(&mut self, worker: WorkerId) {
        let (row, in_vain) = (self.process(worker).record.row, self.in_vain);
        let rule = self.recycle_failures();
        let is_near = self.process(worker).near_limit;
        let needed = match rule {
            _ if is_near && in_vain < 3 => 2,
            RecycleFailures::After(jobs) if in_vain >= 3 => jobs,
            RecycleFailures::Auto if in_vain >= 3 => 3u32.checked_shl(in_vain).unwrap_or(u32::MAX),
            _ => 2,
        };
        assert!(row >= needed, "{worker} failed {row} jobs, {in_vain} replacements in vain");
        assert_ne!(rule, RecycleFailures::Never);
        self.in_vain += 1;
    }

    /// A job that has failed is retried in the same worker only if no other one is idle.
    pub(super) fn check_retried_elsewhere(&self, worker: WorkerId, id: u64) {
        let job = &self.jobs[usize::try_from(id - 1).unwrap()];
        let has_failed_here = job.attempts.last().is_some_and(|last| {
            let is_failure = matches!(last.end, AttemptEnd::Error(_) | AttemptEnd::Timeout(_));
            is_failure && last.worker == worker
        });
        if !has_failed_here || job.runs_alone() {
            return;
        }
        let rules = self.policy.jobs.as_ref();
        let max = rules.and_then(|rules| rules.recycle.jobs).unwrap_or(u64::MAX);
        let is_free = |process: &Process| {
            let serves = process.ready && process.stopping.is_none() && !process.killed;
            let serves = serves && !process.closed_heard && !process.fault_heard;
            let is_idle = process.line.is_empty() && !process.retract_asked && !process.lied;
            let is_idle = is_idle && !process.is_large;
            serves && is_idle && process.asleep.is_none() && process.answered < max
        };
        let is_turn = |other: WorkerId| {
            let slot = self.pool.slots.get(other).map(|slot| &self.pool.slots[slot]);
            slot.and_then(|slot| slot.worker()).is_some_and(|current| current.id == other)
        };
        let mut others = self.processes.iter().filter(|(other, _)| **other != worker);
        let free = others.find(|(other, process)| is_free(process) && is_turn(**other));
        assert!(free.is_none(), "{worker} retries job {id}, which {free:?} could");
    }

    fn recycle_failures(&self) -> RecycleFailures {
        match &self.policy.jobs {
            Some(rules) if !self.nature.launches => rules.recycle.failures,
            _ => RecycleFailures::Never,
        }
    }
}
