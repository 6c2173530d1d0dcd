//! Every decision of a run, and nothing else: [`Pool::step`] takes what happened and when, and
//! returns what to do about it.
//!
//! It knows slots, budgets, deadlines and the rungs of a shutdown. It knows nothing of
//! processes, pipes, clocks, chance or threads: those are inputs and actions, so that any
//! schedule can be simulated (`sim.rs`) and any failure replayed from a seed.

mod restart;
mod shutdown;
#[cfg(test)]
mod sim;
mod slot;
mod step;
mod stopping;
pub mod verdict;

use std::time::Duration;

pub use step::{Action, Input, Jitter, News, Tick};

use self::{
    shutdown::{Climb, Shutdown},
    slot::{Ending, Retired, Slot, Turn},
};
use crate::{
    event::{Event, ShutdownReason, WorkerId},
    limits::Limits,
    settings::{Restart, Roll, Settings},
    signal::Signal,
};

/// The rules of a run.
#[derive(Clone, Debug)]
pub struct Policy {
    /// How many slots.
    pub workers: u32,
    /// When a worker that ended is started again.
    pub restart: Restart,
    /// How workers are replaced one by one.
    pub roll: Roll,
    /// From asking a worker to end to killing it.
    pub grace: Duration,
    /// The signal that asks.
    pub stop_signal: Signal,
    /// The limits workers run under: evidence of why they end.
    pub limits: Limits,
}

impl From<&Settings> for Policy {
    fn from(settings: &Settings) -> Self {
        Self {
            workers: settings.workers.get(),
            restart: settings.restart,
            roll: settings.roll,
            grace: settings.grace,
            stop_signal: settings.stop_signal,
            limits: settings.program.limits.clone(),
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RunEnd {
    /// Every worker ended well.
    Well,
    /// Some worker's last end was a failure.
    Failed,
    /// The program does not stay up: a slot was given up.
    GaveUp,
    /// It was stopped before its workers ended by themselves.
    Stopped(ShutdownReason),
}

/// The state of a run.
#[derive(Debug)]
pub struct Pool {
    policy: Policy,
    slots: Vec<Slot>,
    shutdown: Shutdown,
    /// The slot a roll is at.
    rolling: Option<usize>,
    /// Whether any worker's program was ever executed.
    has_run: bool,
    late_news: u64,
}

impl Pool {
    /// A run that has not begun: the first step, any, starts its workers.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        let slots = (1..=policy.workers).map(Slot::new).collect();
        Self {
            policy,
            slots,
            shutdown: Shutdown::default(),
            rolling: None,
            has_run: false,
            late_news: 0,
        }
    }

    /// Takes one input and appends what to do about it. `now` never goes back.
    pub fn step(&mut self, now: Tick, input: Input, actions: &mut Vec<Action>) {
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
            }
            Input::Roll => {}
        }
        self.each_slot(now, actions, Slot::on_time);
        self.roll_on(now, actions);
    }

    /// When [`Input::Timer`] is due, whatever else happens.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Tick> {
        self.slots.iter().filter_map(Slot::deadline).min()
    }

    /// How the run ended; `None` while it goes on.
    #[must_use]
    pub fn end(&self) -> Option<RunEnd> {
        let retired: Option<Vec<_>> = self.slots.iter().map(Slot::retired).collect();
        let retired = retired?;
        Some(match self.shutdown.reason() {
            Some(reason) => RunEnd::Stopped(reason),
            _ if retired.contains(&Retired::GaveUp) => RunEnd::GaveUp,
            _ if retired.contains(&Retired::Failed) => RunEnd::Failed,
            _ => RunEnd::Well,
        })
    }

    /// News of lives that were over, dropped so far.
    #[must_use]
    pub fn late_news(&self) -> u64 {
        self.late_news
    }

    /// Takes news of a worker; false where its life is over, or never was.
    fn news(&mut self, now: Tick, worker: WorkerId, news: News, actions: &mut Vec<Action>) -> bool {
        let index = usize::try_from(worker.slot).unwrap_or(0).wrapping_sub(1);
        if index >= self.slots.len() {
            return false;
        }
        let (slot, mut turn) = self.turn(now, index, actions);
        match news {
            News::Executed { pid } => {
                let executed = slot.on_executed(worker.life, pid, &mut turn);
                self.has_run |= executed;
                executed
            }
            News::Ended { pid, end, jitter } => {
                match slot.on_ended(worker.life, pid, end, jitter, &mut turn) {
                    Ending::Late => return false,
                    Ending::Early if self.rolling == Some(index) => {
                        self.call_off_roll();
                        actions.push(Action::Tell(Event::RollCalledOff { worker }));
                    }
                    Ending::CannotStart(fault) if self.shutdown.reason().is_none() => {
                        self.shut_down(now, ShutdownReason::CannotStart(fault), actions);
                    }
                    Ending::CannotStart(_) | Ending::Early | Ending::Ordinary => {}
                }
                true
            }
        }
    }

    fn shut_down(&mut self, now: Tick, reason: ShutdownReason, actions: &mut Vec<Action>) {
        match self.shutdown.request(now, reason) {
            Some(Climb::Ask) => {
                actions.push(Action::Tell(Event::ShuttingDown { reason }));
                self.call_off_roll();
                self.each_slot(now, actions, Slot::stop);
            }
            Some(Climb::Kill) => self.each_slot(now, actions, Slot::kill),
            None => {}
        }
    }

    fn call_off_roll(&mut self) {
        self.rolling = None;
        self.slots.iter_mut().for_each(Slot::unmark_stale);
    }

    /// Goes on to the next slot of a roll once the last one has settled.
    fn roll_on(&mut self, now: Tick, actions: &mut Vec<Action>) {
        if self.rolling.is_some_and(|index| !self.slots[index].is_settled()) {
            return;
        }
        self.rolling = (0..self.slots.len()).find(|index| {
            let (slot, mut turn) = self.turn(now, *index, actions);
            slot.replace_stale(&mut turn)
        });
    }

    fn each_slot(
        &mut self,
        now: Tick,
        actions: &mut Vec<Action>,
        each: fn(&mut Slot, &mut Turn<'_>),
    ) {
        for index in 0..self.slots.len() {
            let (slot, mut turn) = self.turn(now, index, actions);
            each(slot, &mut turn);
        }
    }

    fn turn<'a>(
        &'a mut self,
        now: Tick,
        index: usize,
        actions: &'a mut Vec<Action>,
    ) -> (&'a mut Slot, Turn<'a>) {
        let turn = Turn {
            now,
            policy: &self.policy,
            stopping: self.shutdown.reason().is_some(),
            has_run: self.has_run,
            actions,
        };
        (&mut self.slots[index], turn)
    }
}
