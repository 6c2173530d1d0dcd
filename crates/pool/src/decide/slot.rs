//! What does one slot do with what happens to its workers? A slot holds at most two processes:
//! its worker, and during a roll the outgoing one that the worker replaces.

use std::time::Duration;

use super::{
    Action, Actions, Jitter, Policy, Tick,
    ending::{Lived, is_replaced_at_once},
    jobs,
    ledger::{JobKey, Ledger},
    restart::Record,
    retry,
    step::Left,
    stopping::{Rung, Stopping},
    work::Work,
};
use crate::{
    event::{Event, Next, WorkerId},
    exit::{Cause, ProcessEnd, ProtocolFault, StartFault, StopReason},
    job::Attempt,
    rules::Restart,
};

/// A worker without the protocol counts as ready this long after its program was executed; with
/// it, one that dies sooner, and has answered nothing, is the program's fault.
const READY_AFTER: Duration = Duration::from_secs(1);
/// A worker whose replacement did not come up is not replaced again for so long.
const KEPT_FOR: Duration = Duration::from_secs(10);
/// A first worker that is silent for so long is worth a word.
const SILENCE_NOTED_AFTER: Duration = Duration::from_secs(3);

/// One turn of the pool: the moment, the rules, and what is common to all slots.
pub(super) struct Turn<'a> {
    pub(super) now: Tick,
    pub(super) policy: &'a Policy,
    /// The run is coming to its end.
    pub(super) stopping: bool,
    /// And soon.
    pub(super) hurries: bool,
    /// Whether any worker of the run was ever executed.
    pub(super) has_run: bool,
    /// Whether nothing needs to be said of silence: a worker has spoken, or it was said.
    pub(super) silence_noted: &'a mut bool,
    pub(super) ledger: &'a mut Ledger,
    pub(super) actions: &'a mut Actions,
}

impl Turn<'_> {
    pub(super) fn tell(&mut self, event: Event) {
        self.actions.tell(event);
    }

    /// Files an attempt that came to nothing.
    pub(super) fn file(&mut self, key: JobKey, attempt: Attempt) {
        let Self { now, policy, stopping, ledger, actions, .. } = self;
        retry::file(key, attempt, *now, *stopping, policy, ledger, actions);
    }

    /// A start that failed before any other succeeded, and not for a passing reason.
    pub(super) fn is_hopeless(&self, fault: StartFault) -> bool {
        !self.has_run && !fault.is_transient()
    }
}

/// A numbered place for a worker.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Lives begun so far.
    lives: u32,
    /// The life of the slot's worker; not the last one begun where a replacement failed.
    pub(super) current: u32,
    pub(super) state: State,
    /// What the slot's worker has in hand.
    pub(super) work: Work,
    pub(super) outgoing: Option<Outgoing>,
    pub(super) record: Record,
    /// Lives up to this one are to be replaced by the roll under way.
    pub(super) stale_through: u32,
    /// Why.
    pub(super) stale_why: StopReason,
    /// No worker is replaced for its age or size before this: its last replacement failed.
    pub(super) keep_until: Tick,
    /// There shall be fewer slots: it has no other worker.
    pub(super) is_surplus: bool,
}

/// What the slot's worker does.
#[derive(Clone, Copy, Debug)]
pub(super) enum State {
    Empty { not_before: Tick },
    Starting { executed: Option<Tick> },
    Ready { executed: Tick },
    Stopping(Stopping),
    Retired(Retired),
}

/// A worker whose replacement has been started.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) life: u32,
    pub(super) executed: Tick,
    pub(super) work: Work,
    /// `None` while it serves on, until its replacement is ready.
    pub(super) stopping: Option<Stopping>,
}

/// How a slot came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retired {
    /// Its last worker ended well, or as it was asked.
    Well,
    /// Its last worker failed.
    Failed,
    /// Too many workers died before they were ready.
    GaveUp,
}

/// What an end means beyond its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Ending {
    /// News of a life that is over.
    Late,
    /// The worker had not been ready; why it ended.
    Early(Cause),
    /// The program cannot be started, and a further try would not change that.
    CannotStart(StartFault),
    /// Nothing.
    Ordinary,
}

/// The end of a life, as it came.
pub(super) struct End {
    pub(super) pid: Option<i32>,
    pub(super) end: ProcessEnd,
    pub(super) left: Left,
    pub(super) jitter: Jitter,
}

impl Slot {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            lives: 0,
            current: 0,
            state: State::Empty { not_before: Tick::ZERO },
            work: Work::default(),
            outgoing: None,
            record: Record::default(),
            stale_through: 0,
            stale_why: StopReason::Roll,
            keep_until: Tick::ZERO,
            is_surplus: false,
        }
    }

    /// How it came to rest; `None` while it has a process or will have one.
    pub(super) fn retired(&self) -> Option<Retired> {
        match self.state {
            State::Retired(how) if self.outgoing.is_none() => Some(how),
            _ => None,
        }
    }

    pub(super) fn deadline(&self, policy: &Policy, silence_noted: bool) -> Option<Tick> {
        let worker = match (self.state, &policy.jobs) {
            (State::Empty { not_before }, _) => Some(not_before),
            (State::Starting { executed }, None) => executed.map(|at| at + READY_AFTER),
            (State::Starting { executed }, Some(rules)) => {
                let noted = if silence_noted { Duration::MAX } else { SILENCE_NOTED_AFTER };
                executed.map(|at| at + rules.start_timeout.min(noted))
            }
            (State::Stopping(stopping), _) => stopping.deadline(&self.work, policy),
            (State::Ready { executed }, _) => {
                let recycle = self.recycle_due(executed, policy);
                jobs::deadline(&self.work, policy).into_iter().chain(recycle).min()
            }
            (State::Retired(_), _) => None,
        };
        let outgoing = self.outgoing.as_ref().and_then(|old| match old.stopping {
            Some(stopping) => stopping.deadline(&old.work, policy),
            None => jobs::deadline(&old.work, policy),
        });
        worker.into_iter().chain(outgoing).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Empty { not_before } if not_before <= turn.now => self.spawn(turn),
            State::Starting { executed: Some(at) } => match &turn.policy.jobs {
                None if at + READY_AFTER <= turn.now => self.ready(at, turn),
                Some(rules) if at + rules.start_timeout <= turn.now => {
                    self.break_off(self.current, ProtocolFault::Silence, turn);
                }
                Some(_) if at + SILENCE_NOTED_AFTER <= turn.now && !*turn.silence_noted => {
                    *turn.silence_noted = true;
                    turn.tell(Event::StillSilent { worker: self.worker() });
                }
                _ => {}
            },
            State::Ready { executed } => self.job_on_time(executed, turn),
            State::Stopping(stopping) => self.stopping_on_time(stopping, turn),
            State::Empty { .. } | State::Starting { .. } | State::Retired(_) => {}
        }
        self.outgoing_on_time(turn);
    }

    fn stopping_on_time(&mut self, stopping: Stopping, turn: &mut Turn<'_>) {
        let worker = self.worker();
        let drains = stopping.rung == Rung::Draining;
        let must = if drains { self.work.on_time(worker, turn) } else { None };
        let next = match must {
            Some(why) => Some(Stopping::must(why, worker, turn)),
            None if stopping.deadline > turn.now => Some(stopping),
            None => stopping.climb(worker, turn),
        };
        if let Some(stopping) = next {
            self.state = State::Stopping(stopping);
            return;
        }
        self.bury(stopping, turn);
        if self.reinstate(turn) {
            return;
        }
        let is_killed = stopping.why == StopReason::Killed;
        let is_replaced =
            is_replaced_at_once(stopping.why) || is_killed && turn.policy.restart != Restart::Never;
        if is_replaced && !turn.stopping {
            self.spawn(turn);
        } else {
            self.state = State::Retired(Retired::Failed);
        }
    }

    /// The replacement did not come up. Where the worker that was to be replaced still serves,
    /// it keeps the slot.
    fn reinstate(&mut self, turn: &Turn<'_>) -> bool {
        let Some(old) = self.outgoing.take_if(|old| old.stopping.is_none()) else { return false };
        self.keep_until = turn.now + KEPT_FOR;
        self.stale_through = 0;
        self.current = old.life;
        self.work = old.work;
        self.work.spare();
        self.state = State::Ready { executed: old.executed };
        true
    }

    /// The slot's worker can be counted on: it takes over.
    pub(super) fn ready(&mut self, executed: Tick, turn: &mut Turn<'_>) {
        self.state = State::Ready { executed };
        turn.tell(Event::Ready { worker: self.worker() });
        self.ask_outgoing(self.stale_why, true, turn);
    }

    /// The program of a life was executed. False for a life that is over.
    pub(super) fn on_executed(&mut self, life: u32, pid: i32, turn: &mut Turn<'_>) -> bool {
        let worker = self.worker();
        match &mut self.state {
            _ if life != self.current => return false,
            State::Starting { executed: executed @ None } => {
                *executed = Some(turn.now);
                self.work = Work::new(pid);
            }
            State::Stopping(stopping) if matches!(stopping.rung, Rung::Unheard | Rung::Killed) => {
                *stopping = stopping.heard(worker, turn);
            }
            _ => return false,
        }
        turn.tell(Event::Started { worker, pid });
        true
    }

    /// The process of a life is gone.
    pub(super) fn on_ended(&mut self, life: u32, mut end: End, turn: &mut Turn<'_>) -> Ending {
        let seen = self.work_of(life).and_then(|(_, work)| work.overweight());
        if let (Some(bytes), ProcessEnd::Ended(evidence)) = (seen, &mut end.end) {
            evidence.peak.raise(bytes);
        }
        if let Some(old) = self.outgoing.take_if(|old| old.life == life) {
            let cause = self.judge(&end, old.stopping, turn);
            self.tell_end(life, &end, cause, Next::Replaced, turn);
            let worker = WorkerId { slot: self.number, life };
            let left = std::mem::take(&mut end.left);
            old.work.on_death(worker, (cause, end.end.evidence()), left, turn);
            return Ending::Ordinary;
        }
        let (executed, stopping, unready) = match self.state {
            State::Empty { .. } | State::Retired(_) => return Ending::Late,
            _ if life != self.current => return Ending::Late,
            State::Starting { executed } => (executed, None, true),
            State::Ready { executed } => (Some(executed), None, false),
            State::Stopping(stopping) => (None, Some(stopping), false),
        };
        if self.reinstate(turn) {
            let cause = self.judge(&end, stopping, turn);
            self.tell_end(life, &end, cause, Next::NotNeeded, turn);
            return Ending::Early(cause);
        }
        let up = executed.map_or(Duration::ZERO, |at| turn.now.saturating_sub(at));
        let verdict = self.judge(&end, stopping, turn);
        let (work, left) = (std::mem::take(&mut self.work), std::mem::take(&mut end.left));
        let evidence = end.end.evidence();
        let worked = work.on_death(self.worker(), (verdict, evidence), left, turn);
        let makes_way = stopping.is_some_and(|stopping| !stopping.why.is_charge());
        let settled = up >= READY_AFTER || worked || makes_way;
        let early = if turn.policy.jobs.is_some() { !settled } else { unready };
        let next = self.next(&end, verdict, stopping, Lived { up, early }, turn);
        let well = self.tell_end(life, &end, verdict, next, turn);
        match next {
            Next::Again(delay) if delay.is_zero() => self.spawn(turn),
            Next::Again(delay) => self.state = State::Empty { not_before: turn.now + delay },
            Next::GaveUp => self.state = State::Retired(Retired::GaveUp),
            Next::Done | Next::Replaced | Next::NotNeeded => {
                self.state = State::Retired(if well { Retired::Well } else { Retired::Failed });
            }
        }
        match end.end {
            ProcessEnd::NeverStarted(fault) if turn.is_hopeless(fault) => {
                Ending::CannotStart(fault)
            }
            _ if unready || early => Ending::Early(verdict),
            _ => Ending::Ordinary,
        }
    }

    /// The run ends, or this worker's part in it: so shall whatever the slot holds, once it has
    /// finished what it does, where it is allowed to.
    pub(super) fn stop(&mut self, why: StopReason, drains: bool, turn: &mut Turn<'_>) {
        let worker = self.worker();
        match &mut self.state {
            State::Empty { .. } => self.state = State::Retired(Retired::Well),
            State::Starting { executed } => {
                let rung = if executed.is_some() { Rung::Asked } else { Rung::Unheard };
                self.state = State::Stopping(Stopping::begin(why, rung, worker, turn));
            }
            State::Ready { .. } => {
                let rung = self.work.first_rung(drains, worker, turn);
                self.state = State::Stopping(Stopping::begin(why, rung, worker, turn));
            }
            State::Stopping(stopping) => *stopping = stopping.join(why, drains, worker, turn),
            State::Retired(_) => {}
        }
        self.ask_outgoing(why, drains, turn);
    }

    /// Somebody asks once more.
    pub(super) fn press(&mut self, turn: &mut Turn<'_>) {
        if let State::Stopping(stopping) = self.state {
            self.state = State::Stopping(stopping.press(self.worker(), turn));
        }
        let Some(worker) = self.outgoing_worker() else { return };
        if let Some(stopping) = self.outgoing.as_mut().and_then(|old| old.stopping.as_mut()) {
            *stopping = stopping.press(worker, turn);
        }
    }

    pub(super) fn worker(&self) -> WorkerId {
        WorkerId { slot: self.number, life: self.current }
    }

    pub(super) fn outgoing_worker(&self) -> Option<WorkerId> {
        self.outgoing.as_ref().map(|old| WorkerId { slot: self.number, life: old.life })
    }

    pub(super) fn spawn(&mut self, turn: &mut Turn<'_>) {
        self.lives += 1;
        self.current = self.lives;
        self.work = Work::default();
        self.state = State::Starting { executed: None };
        turn.actions.push(Action::Spawn(self.worker()));
    }

    /// Whether it holds nothing but a worker whose program was not executed yet.
    pub(super) fn is_unbegun(&self) -> bool {
        matches!(self.state, State::Starting { executed: None }) && self.outgoing.is_none()
    }

    /// Whether it has a worker that can be counted on, or will have one.
    pub(super) fn is_manned(&self) -> bool {
        match self.state {
            State::Ready { .. } => self.work.is_reliable(),
            State::Retired(_) => false,
            State::Stopping(stopping) => stopping.why != StopReason::Finished,
            State::Empty { .. } | State::Starting { .. } => true,
        }
    }

    pub(super) fn lives(&self) -> u32 {
        self.lives
    }

    /// The processes the slot holds, for the invariants of the simulation.
    #[cfg(test)]
    pub(super) fn lives_held(&self) -> Vec<u32> {
        let own = (!matches!(self.state, State::Empty { .. } | State::Retired(_)))
            .then_some(self.current);
        own.into_iter().chain(self.outgoing.as_ref().map(|old| old.life)).collect()
    }
}
