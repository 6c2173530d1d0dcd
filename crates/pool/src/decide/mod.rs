//! Every decision of a run, and nothing else: [`Pool::step`] takes what happened and when, and
//! returns what to do about it.
//!
//! It knows slots, jobs, budgets, deadlines and the rungs of a shutdown. It knows nothing of
//! processes, pipes, clocks, chance or threads: those are inputs and actions, so that any
//! schedule can be simulated (`sim/`) and any failure replayed from a seed.

mod clock;
mod command;
mod depth;
mod dispatch;
mod ending;
mod halt;
mod jobs;
mod ledger;
mod policy;
mod restart;
mod retry;
mod roll;
mod shutdown;
#[cfg(test)]
mod sim;
mod slot;
mod step;
mod stopping;
pub mod verdict;
mod watch;
mod work;

use std::time::Duration;

pub use policy::Policy;
pub use step::{
    Abilities, Action, Actions, Answer, Cancelled, Input, Jitter, Left, Memory, News, Order, Reply,
    Running, Standing, Tick, Weight,
};

use self::{
    dispatch::Hungry,
    ledger::Ledger,
    roll::Rolling,
    shutdown::{Climb, Haste, Shutdown},
    slot::{End, Ending, Retired, Slot},
    watch::Watch,
};
use crate::{
    event::{Event, Mute, ShutdownReason, Tally, WorkerId},
    exit::{Cause, Sender, StartFault, StopReason},
    hang::Hang,
    job::{Accepted, Job, JobEnd, Payload},
    rules::Restart,
};

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// Every worker ended well, or every job.
    Well,
    /// Some worker's last end was a failure, or some job's.
    Failed,
    /// The program does not stay up: a slot was given up, or with jobs all were.
    GaveUp,
    /// It was stopped before its workers ended by themselves, or its jobs.
    Stopped(ShutdownReason),
}

/// The state of a run.
#[derive(Debug)]
pub struct Pool {
    policy: Policy,
    slots: Vec<Slot>,
    shutdown: Shutdown,
    rolling: Rolling,
    /// Whether any worker's program was ever executed.
    has_run: bool,
    /// Whether any worker ever spoke the protocol.
    has_spoken: bool,
    silence_noted: bool,
    /// Which slots have lost a worker while none had spoken.
    mute: Vec<bool>,
    ledger: Ledger,
    told: Tally,
    source_ended: bool,
    /// All is done, and the workers are let go.
    finishing: bool,
    hungry: Hungry,
    /// Where memory is limited.
    watch: Option<Watch>,
    /// No job is sent before this.
    not_before: Tick,
    /// Slots that this step has to do with.
    touched: Vec<usize>,
    /// Nothing is due before this; perhaps nothing is due then either.
    alarm: Option<Tick>,
    late_news: u64,
}

impl Pool {
    /// A run that has not begun: the first step, any, starts its workers.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let slots: Vec<Slot> = (1..=policy.workers).map(Slot::new).collect();
        Self {
            shutdown: Shutdown::default(),
            rolling: Rolling::default(),
            has_run: false,
            has_spoken: false,
            silence_noted: false,
            mute: vec![false; slots.len()],
            ledger: Ledger::default(),
            told: Tally::default(),
            source_ended: false,
            finishing: false,
            hungry: Hungry::new(slots.len()),
            watch: policy.limits.tree_bytes().map(Watch::new),
            not_before: Tick::ZERO,
            touched: Vec::new(),
            alarm: Some(Tick::ZERO),
            late_news: 0,
            slots,
            policy,
        }
    }

    /// Takes one input and appends what to do about it. `now` never goes back.
    pub fn step(&mut self, now: Tick, input: Input, actions: &mut Actions) {
        match input {
            Input::Timer => {}
            Input::Worker { worker, news } => {
                if !self.news(now, worker, news, actions) {
                    self.late_news += 1;
                }
            }
            Input::Shutdown(reason) => self.shut_down(now, reason, actions),
            Input::Roll if self.policy.restart == Restart::Always => {
                self.slots.iter_mut().for_each(Slot::mark_stale);
                self.rolling.begin();
            }
            Input::Roll => {}
            Input::Jobs(jobs) => jobs.into_iter().for_each(|job| self.ledger.accept(job)),
            Input::TooLong { id, place, position, bytes } => {
                let end = JobEnd::TooLong { bytes, cap: self.policy.job_bytes_max };
                let job = Job { payload: Payload::copy(&[]), position };
                self.ledger.refuse(Accepted { id, place, job }, end, actions);
            }
            Input::SourceEnded => {
                self.source_ended = true;
                self.let_spare_go(now, actions);
            }
            Input::Hold(hold) => self.ledger.hold(hold),
            Input::Cancel { id, now: at_once } => self.cancel(now, id, at_once, actions),
            Input::Kill { workers } => self.kill(now, &workers, actions),
            Input::Scale(workers) => self.scale(now, workers, actions),
            Input::Examined { worker, id, hang } => self.examined(worker, id, hang),
            Input::Weighed { weights, took } => self.weighed(now, &weights, took, actions),
        }
        loop {
            self.on_time(now, actions);
            self.roll_on(now, actions);
            self.ledger.settle_cancelled(actions);
            self.end_jobs(now, actions);
            if actions.list.iter().any(|action| matches!(action, Action::Spawn(_))) {
                self.let_spare_go(now, actions);
            }
            self.dispatch(now, actions);
            self.settle_alarm(now);
            // What was just begun may be due at once: a grace of no time.
            if self.alarm.is_none_or(|alarm| alarm > now) {
                break;
            }
        }
        let tally = self.ledger.tally();
        if tally != self.told {
            self.told = tally;
            actions.tell(Event::Jobs(tally));
        }
    }

    /// When [`Input::Timer`] is due, whatever else happens; never late, at times too early.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.alarm
    }

    /// The job that each worker runs, or is about to.
    pub fn running(&self) -> impl Iterator<Item = Running<'_>> {
        let ledger = &self.ledger;
        self.slots.iter().flat_map(Slot::running).map(|(worker, key, since)| {
            let (id, attempt, payload) = (ledger.id(key), ledger.attempt(key), ledger.payload(key));
            Running { worker, id, attempt, payload, since }
        })
    }

    /// How the run ended; `None` while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<RunEnd> {
        let retired: Option<Vec<_>> = self.slots.iter().map(Slot::retired).collect();
        let retired = retired?;
        let has_jobs = self.policy.jobs.is_some();
        Some(match self.shutdown.reason() {
            Some(reason) => RunEnd::Stopped(reason),
            _ if has_jobs && !self.finishing => RunEnd::GaveUp,
            _ if has_jobs && self.ledger.tally().has_failures() => RunEnd::Failed,
            _ if has_jobs => RunEnd::Well,
            _ if retired.contains(&Retired::GaveUp) => RunEnd::GaveUp,
            _ if retired.contains(&Retired::Failed) => RunEnd::Failed,
            _ => RunEnd::Well,
        })
    }

    /// Whether workers are being replaced, or are to be.
    #[must_use]
    pub fn is_rolling(&self) -> bool {
        self.rolling.is_under_way()
    }

    /// News of lives that were over, dropped so far.
    #[must_use]
    pub fn late_news(&self) -> u64 {
        self.late_news
    }

    /// Takes news of a worker; false where its life is over, or never was.
    fn news(&mut self, now: Tick, worker: WorkerId, news: News, actions: &mut Actions) -> bool {
        let index = usize::try_from(worker.slot).unwrap_or(0).wrapping_sub(1);
        if index >= self.slots.len() {
            return false;
        }
        let life = worker.life;
        let (slot, mut turn) = self.turn(now, index, actions);
        match news {
            News::Executed { pid } => {
                let executed = slot.on_executed(life, pid, &mut turn);
                self.has_run |= executed;
                if let Some(watch) = self.watch.as_mut().filter(|_| executed) {
                    watch.begin(worker, now);
                }
                executed
            }
            News::Hello(abilities) => {
                let spoken = slot.on_hello(life, abilities, &mut turn);
                self.has_spoken |= spoken;
                self.silence_noted |= spoken;
                spoken
            }
            News::Replies { replies, memory, printed } => {
                slot.on_printed(life, printed);
                let heard = slot.on_replies(life, replies, memory, &mut turn);
                self.rolling.has_stale |= slot.is_stale();
                heard
            }
            News::Recalled { replies, started } => {
                let heard = slot.on_recalled(life, started, replies, &mut turn);
                self.rolling.has_stale |= slot.is_stale();
                heard
            }
            News::Unsendable { id, bytes, bytes_max } => {
                slot.on_unsendable(life, id, [bytes, bytes_max], &mut turn)
            }
            News::Closed(pipe) => slot.on_closed(life, pipe, &turn),
            News::Broken(fault) => {
                let holds = slot.holds(life);
                slot.break_off(life, fault, &mut turn);
                holds
            }
            News::Ended { pid, end, left, jitter } => {
                let status = end.evidence().map(|evidence| evidence.status);
                // One that ends at once may have said no more than its hello.
                let spoke = left.spoke;
                let is_successor = slot.succeeds_rolled(life);
                let ending = slot.on_ended(life, End { pid, end, left, jitter }, &mut turn);
                self.has_spoken |= spoke;
                if let Some(watch) = &mut self.watch {
                    watch.end(worker);
                }
                match ending {
                    Ending::Late => return false,
                    Ending::Early(_) if is_successor && self.rolling.contains(index) => {
                        self.call_off_roll();
                        actions.tell(Event::RollCalledOff { worker });
                    }
                    Ending::Early(cause) => self.early_end(now, index, cause, status, actions),
                    Ending::CannotStart(fault) => self.cannot_start(now, fault, actions),
                    Ending::Ordinary => {}
                }
                true
            }
        }
    }

    fn examined(&mut self, worker: WorkerId, id: u64, hang: Box<Hang>) {
        let index = usize::try_from(worker.slot).unwrap_or(0).wrapping_sub(1);
        let slot = self.slots.get_mut(index);
        if let Some((_, work)) = slot.and_then(|slot| slot.work_of(worker.life)) {
            work.examined(id, hang, &self.ledger);
        }
    }

    /// What holds more than it may ends.
    fn weighed(
        &mut self,
        now: Tick,
        weights: &[(WorkerId, Weight)],
        took: Duration,
        actions: &mut Actions,
    ) {
        let Some(watch) = &mut self.watch else { return };
        for (worker, bytes) in watch.weighed(weights, took, now) {
            let index = usize::try_from(worker.slot).unwrap_or(0).wrapping_sub(1);
            if index < self.slots.len() {
                let (slot, mut turn) = self.turn(now, index, actions);
                slot.on_overweight(worker.life, bytes, &mut turn);
            }
        }
    }

    /// A program that does not speak the protocol is known by this: of all first workers, each
    /// has ended, and none has spoken.
    fn early_end(
        &mut self,
        now: Tick,
        index: usize,
        cause: Cause,
        status: Option<crate::exit::Status>,
        actions: &mut Actions,
    ) {
        if self.policy.jobs.is_none() || self.has_spoken || self.is_stopping() {
            return;
        }
        let mute = match (cause, status) {
            (Cause::Protocol(fault), _) => Mute::Fault(fault),
            // Whoever killed it says nothing of the program.
            (Cause::Signal(Sender::Outside), _) => return,
            (_, Some(status)) => Mute::Ended(status),
            (_, None) => return,
        };
        self.mute[index] = true;
        if self.mute.iter().all(|mute| *mute) {
            self.shut_down(now, ShutdownReason::NotAWorker(mute), actions);
        }
    }

    fn cannot_start(&mut self, now: Tick, fault: StartFault, actions: &mut Actions) {
        if self.shutdown.reason().is_none() {
            self.shut_down(now, ShutdownReason::CannotStart(fault), actions);
        }
    }

    fn is_stopping(&self) -> bool {
        self.shutdown.reason().is_some() || self.finishing
    }

    fn shut_down(&mut self, now: Tick, reason: ShutdownReason, actions: &mut Actions) {
        match self.shutdown.request(now, reason) {
            Some(Climb::Ask) => {
                actions.tell(Event::ShuttingDown { reason });
                self.call_off_roll();
                self.ledger.abandon(actions);
                let drains = Haste::from(reason) < Haste::Now;
                self.each_slot(now, actions, |slot, turn| {
                    slot.stop(StopReason::Shutdown, drains, turn);
                });
            }
            Some(Climb::Press) => self.each_slot(now, actions, Slot::press),
            None => {}
        }
    }

    /// Whether there is nothing more to be done, or enough has been.
    fn end_jobs(&mut self, now: Tick, actions: &mut Actions) {
        let Some(rules) = &self.policy.jobs else { return };
        let at_rest = || self.slots.iter().all(|slot| slot.retired().is_some());
        let is_late = rules.deadline.is_some_and(|deadline| deadline <= now);
        if self.is_stopping() {
            // What went back after the stop was asked for is left over as well.
            self.ledger.abandon(actions);
            if is_late && !self.finishing {
                self.shut_down(now, ShutdownReason::Deadline, actions);
            }
        } else if is_late {
            self.shut_down(now, ShutdownReason::Deadline, actions);
        } else if rules.halt.is_some_and(|halt| halt::is_due(halt, self.ledger.tally())) {
            let now_too = rules.halt.is_some_and(|halt| halt.now);
            self.shut_down(now, ShutdownReason::Halted { now: now_too }, actions);
        } else if self.source_ended && self.ledger.open() == 0 {
            self.finishing = true;
            self.each_slot(now, actions, |slot, turn| slot.stop(StopReason::Finished, true, turn));
        } else if at_rest() {
            // None stays up, and none is left.
            self.ledger.abandon(actions);
        }
    }
}
