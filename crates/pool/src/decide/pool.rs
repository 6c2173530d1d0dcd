//! The state of a run, and the step that applies one input to it.

use std::time::Duration;

use super::{
    action::{Action, Actions, Running},
    context::Contact,
    health::Health,
    input::{Input, MemorySample, News, Tick},
    ledger::{Ledger, Sent},
    memory_watch::MemoryWatch,
    news::Consequence,
    phase::RunPhase,
    policy::Policy,
    ready_set::ReadySet,
    rolling::Rolling,
    slot::{Retired, Slot},
    slots::{SlotIndex, Slots},
};
use crate::{
    event::{Event, ShutdownReason, Tally, WorkerId},
    job::{Accepted, Job, JobEnd, Payload},
};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// Every job is done; without jobs, the last worker of every slot ended well.
    Well,
    /// A job failed; without jobs, the last worker of a slot failed.
    Failed,
    /// The program does not stay up: with jobs, every slot was given up; without jobs, some slot.
    GaveUp,
    /// The run was stopped before its workers or its jobs ended by themselves.
    Stopped(ShutdownReason),
}

/// The state of a run.
#[derive(Debug)]
pub struct Pool {
    pub(super) policy: Policy,
    pub(super) phase: RunPhase,
    pub(super) slots: Slots,
    pub(super) rolling: Rolling,
    pub(super) contact: Contact,
    pub(super) health: Health,
    pub(super) ledger: Ledger,
    /// The tally as it was last reported.
    reported: Tally,
    /// Present if memory is limited.
    pub(super) memory: Option<MemoryWatch>,
    /// Whether a user paused the run: no job is sent.
    pub(super) is_paused: bool,
    /// No job is sent before this time, because of `--delay`.
    pub(super) send_after: Tick,
    /// Slots that may have room for jobs.
    pub(super) ready: ReadySet,
    /// Slots whose deadline this step may have changed.
    pub(super) dirty_slots: Vec<SlotIndex>,
    /// A lower bound: nothing is due before this time.
    pub(super) deadline: Option<Tick>,
    late_news: u64,
}

impl Pool {
    /// A run that has not begun. Its first step starts the workers, whatever the input.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self {
            phase: RunPhase::default(),
            slots: Slots::new(policy.workers),
            rolling: Rolling::default(),
            contact: Contact::default(),
            health: Health::default(),
            ledger: Ledger::default(),
            reported: Tally::default(),
            memory: policy.limits.tree_bytes().map(MemoryWatch::new),
            is_paused: false,
            send_after: Tick::ZERO,
            ready: ReadySet::default(),
            dirty_slots: Vec::new(),
            deadline: Some(Tick::ZERO),
            late_news: 0,
            policy,
        }
    }

    /// Takes one input and appends the resulting actions. `now` must not decrease between steps.
    pub fn step(&mut self, now: Tick, input: Input, actions: &mut Actions) {
        self.take(now, input, actions);
        loop {
            self.on_time(now, actions);
            self.continue_roll(now, actions);
            self.ledger.settle_cancelled(actions);
            self.end_jobs(now, actions);
            if actions.list.iter().any(|action| matches!(action, Action::Spawn(_))) {
                self.drop_spare_starts(now, actions);
            }
            self.dispatch(now, actions);
            self.update_deadline(now);
            // Something may be due at once: a grace period of 0 s, for instance.
            if self.deadline.is_none_or(|deadline| deadline > now) {
                break;
            }
        }
        let tally = self.ledger.tally();
        if tally != self.reported {
            self.reported = tally;
            actions.emit(Event::Jobs(tally));
        }
    }

    fn take(&mut self, now: Tick, input: Input, actions: &mut Actions) {
        match input {
            Input::Timer => {}
            Input::Worker { worker, news } => {
                if !self.take_news(now, worker, news, actions) {
                    self.late_news += 1;
                }
            }
            Input::Shutdown(reason) => self.shut_down(now, reason, actions),
            Input::Roll => self.roll(now, actions),
            Input::Jobs(jobs) => jobs.into_iter().for_each(|job| self.ledger.accept(job)),
            Input::TooLong { id, place, position, bytes } => {
                let end = JobEnd::TooLong { bytes, cap: self.policy.job_bytes_max };
                let job = Job { payload: Payload::copy(&[]), position };
                self.ledger.refuse(Accepted { id, place, job }, end, actions);
            }
            Input::SourceEnded => {
                self.phase.end_source();
                self.drop_spare_starts(now, actions);
            }
            Input::Hold(hold) => self.ledger.hold(hold),
            Input::Cancel { id, now: at_once } => self.cancel(now, id, at_once, actions),
            Input::Kill { workers } => self.kill(now, &workers, actions),
            Input::StartSlot(slot) => self.start_slot(now, slot, actions),
            Input::Scale(workers) => self.scale(now, workers, actions),
            Input::Restart { workers } => self.restart(&workers),
            Input::Pause(pause) => self.pause(now, pause, actions),
            Input::Examined { worker, id, hang } => {
                let slot = self.slots.get(worker);
                if let Some(worker) = slot.and_then(|slot| self.slots[slot].find(worker)) {
                    worker.session.examined(id, hang, &self.ledger);
                }
            }
            Input::StartExamined { worker, unserved } => {
                let Some(index) = self.slots.get(worker) else { return };
                let (slot, mut ctx) = self.at(now, index, actions);
                if let Some(worker) = slot.find(worker) {
                    worker.on_start_examined(unserved, &mut ctx);
                }
            }
            Input::MemorySampled { samples, took } => {
                self.take_samples(now, &samples, took, actions);
            }
        }
    }

    /// When the caller must send [`Input::Timer`], at the latest. The step may then find that
    /// nothing is due yet.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.deadline
    }

    /// The job that each worker runs, or will start next.
    pub fn running(&self) -> impl Iterator<Item = Running<'_>> {
        let ledger = &self.ledger;
        self.slots.iter().flat_map(Slot::running).map(|(worker, key, since)| {
            let Sent { id, attempt, .. } = ledger.sent(key);
            Running { worker, id, attempt, payload: ledger.payload(key), since }
        })
    }

    /// How the run ended; `None` while it is under way.
    #[must_use]
    pub fn end(&self) -> Option<RunEnd> {
        let retired: Option<Vec<_>> = self.slots.iter().map(Slot::retired).collect();
        let retired = retired?;
        let has_jobs = self.policy.jobs.is_some();
        Some(match self.phase.reason() {
            Some(reason) => RunEnd::Stopped(reason),
            _ if has_jobs && !self.phase.is_done() => RunEnd::GaveUp,
            _ if has_jobs && self.ledger.tally().has_failures() => RunEnd::Failed,
            _ if has_jobs => RunEnd::Well,
            _ if retired.contains(&Retired::GaveUp) => RunEnd::GaveUp,
            _ if retired.contains(&Retired::Failed) => RunEnd::Failed,
            _ => RunEnd::Well,
        })
    }

    /// Whether a roll is under way, or workers are being recycled.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        self.rolling.is_under_way()
    }

    /// The number of news items that were dropped because their worker was gone already.
    #[must_use]
    pub fn late_news(&self) -> u64 {
        self.late_news
    }

    /// Takes news about a worker. Returns false if it was dropped, because the worker is gone.
    fn take_news(
        &mut self,
        now: Tick,
        worker: WorkerId,
        news: News,
        actions: &mut Actions,
    ) -> bool {
        let Some(index) = self.slots.get(worker) else { return false };
        let is_successor = self.slots[index].succeeds_stale(worker);
        let status = match &news {
            News::Ended { end, .. } => end.evidence().map(|evidence| evidence.status),
            _ => None,
        };
        let (slot, mut ctx) = self.at(now, index, actions);
        let Some(consequence) = slot.on_news(worker, news, &mut ctx) else { return false };
        self.rolling.has_stale |= self.slots[index].is_stale();
        match consequence {
            Consequence::None => {}
            Consequence::Early { .. } if is_successor && self.rolling.contains(index) => {
                self.cancel_roll();
                actions.emit(Event::RollCancelled { worker });
            }
            Consequence::Early { cause, again } => {
                self.ended_unheard(now, index, (cause, status), again, actions);
            }
            Consequence::CannotStart(fault) => self.cannot_start(now, fault, actions),
        }
        true
    }

    /// Takes samples of memory, and stops workers or commands that hold more than the limit.
    fn take_samples(
        &mut self,
        now: Tick,
        samples: &[(WorkerId, MemorySample)],
        took: Duration,
        actions: &mut Actions,
    ) {
        let Some(memory) = &mut self.memory else { return };
        for (worker, bytes) in memory.sampled(samples, took, now) {
            let Some(index) = self.slots.get(worker) else { continue };
            let (slot, mut ctx) = self.at(now, index, actions);
            if let Some(worker) = slot.find(worker) {
                worker.on_overweight(bytes, &mut ctx);
            }
        }
        for (worker, sample) in samples {
            let MemorySample::Held(bytes) = *sample else { continue };
            let is_near = self.memory.as_ref().is_some_and(|it| it.is_near(bytes));
            let Some(index) = self.slots.get(*worker).filter(|_| is_near) else { continue };
            let (slot, mut ctx) = self.at(now, index, actions);
            if let Some(worker) = slot.find(*worker) {
                worker.on_near_limit(&mut ctx);
            }
        }
    }
}
