//! What does one slot do with what happens to its workers? A slot holds at most two processes:
//! its worker, and during a roll the outgoing one that the worker replaces.

use std::time::Duration;

use super::{
    Action, Jitter, Policy, Tick,
    restart::Record,
    stopping::{Rung, Stopping},
    verdict::{Circumstances, cause},
};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Asked, Cause, Evidence, StartFault, StopReason},
    settings::{Restart, Roll},
};

/// A worker without the protocol counts as ready this long after its program was executed.
const READY_AFTER: Duration = Duration::from_secs(1);

/// One turn of the pool: the moment, the rules, whether the run is stopping, whether any worker
/// of it has ever run, and where actions go.
pub(super) struct Turn<'a> {
    pub(super) now: Tick,
    pub(super) policy: &'a Policy,
    pub(super) stopping: bool,
    pub(super) has_run: bool,
    pub(super) actions: &'a mut Vec<Action>,
}

impl Turn<'_> {
    pub(super) fn tell(&mut self, event: Event) {
        self.actions.push(Action::Tell(event));
    }

    /// A start that failed before any other succeeded, and not for a passing reason.
    fn is_hopeless(&self, fault: StartFault) -> bool {
        !self.has_run && !fault.is_transient()
    }
}

/// A numbered place for a worker.
#[derive(Debug)]
pub(super) struct Slot {
    number: u32,
    /// Lives begun so far.
    lives: u32,
    /// The life of the slot's worker; not the last one begun where a replacement failed.
    current: u32,
    state: State,
    outgoing: Option<Outgoing>,
    record: Record,
    /// Lives up to this one are to be replaced by the roll under way.
    stale_through: u32,
}

/// What the slot's worker does.
#[derive(Clone, Copy, Debug)]
enum State {
    Empty { not_before: Tick },
    Starting { executed: Option<Tick> },
    Ready { executed: Tick },
    Stopping(Stopping),
    Retired(Retired),
}

/// A worker whose replacement has been started.
#[derive(Debug)]
struct Outgoing {
    life: u32,
    executed: Tick,
    /// `None` while it serves on, until its replacement is ready.
    stopping: Option<Stopping>,
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
    /// The worker had not been ready.
    Early,
    /// The program cannot be started, and a further try would not change that.
    CannotStart(StartFault),
    /// Nothing.
    Ordinary,
}

impl Slot {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            lives: 0,
            current: 0,
            state: State::Empty { not_before: Tick::ZERO },
            outgoing: None,
            record: Record::default(),
            stale_through: 0,
        }
    }

    /// How it came to rest; `None` while it has a process or will have one.
    pub(super) fn retired(&self) -> Option<Retired> {
        match self.state {
            State::Retired(how) if self.outgoing.is_none() => Some(how),
            _ => None,
        }
    }

    pub(super) fn deadline(&self) -> Option<Tick> {
        let worker = match self.state {
            State::Empty { not_before } => Some(not_before),
            State::Starting { executed } => executed.map(|at| at + READY_AFTER),
            State::Stopping(stopping) => Some(stopping.deadline),
            State::Ready { .. } | State::Retired(_) => None,
        };
        let outgoing = self.outgoing.as_ref().and_then(|old| old.stopping);
        worker.into_iter().chain(outgoing.map(|stopping| stopping.deadline)).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, turn: &mut Turn<'_>) {
        match self.state {
            State::Empty { not_before } if not_before <= turn.now => self.spawn(turn),
            State::Starting { executed: Some(at) } if at + READY_AFTER <= turn.now => {
                self.state = State::Ready { executed: at };
                turn.tell(Event::Ready { worker: self.worker() });
                self.ask_outgoing(StopReason::Roll, turn);
            }
            State::Stopping(stopping) if stopping.deadline <= turn.now => {
                match stopping.climb(self.worker(), turn) {
                    Some(stopping) => self.state = State::Stopping(stopping),
                    None if stopping.why == StopReason::Roll => self.spawn(turn),
                    None => self.state = State::Retired(Retired::Failed),
                }
            }
            _ => {}
        }
        let due = |old: &Outgoing| old.stopping.filter(|stopping| stopping.deadline <= turn.now);
        if let Some(stopping) = self.outgoing.as_ref().and_then(due) {
            self.climb_outgoing(stopping, turn);
        }
    }

    /// The program of a life was executed. False for a life that is over.
    pub(super) fn on_executed(&mut self, life: u32, pid: i32, turn: &mut Turn<'_>) -> bool {
        let worker = self.worker();
        match &mut self.state {
            _ if life != self.current => return false,
            State::Starting { executed: executed @ None } => *executed = Some(turn.now),
            State::Stopping(stopping) if stopping.rung != Rung::Asked => {
                if stopping.rung == Rung::Unheard {
                    stopping.rung = Rung::Asked;
                    turn.actions.push(Action::Ask(worker));
                }
            }
            _ => return false,
        }
        turn.tell(Event::Started { worker, pid });
        true
    }

    /// The process of a life is gone.
    pub(super) fn on_ended(
        &mut self,
        life: u32,
        pid: Option<i32>,
        end: Result<Evidence, StartFault>,
        jitter: Jitter,
        turn: &mut Turn<'_>,
    ) -> Ending {
        if let Some(old) = self.outgoing.take_if(|old| old.life == life) {
            self.tell_end(life, pid, end, old.stopping, Next::Replaced, turn);
            return Ending::Ordinary;
        }
        let (executed, stopping, early) = match self.state {
            State::Empty { .. } | State::Retired(_) => return Ending::Late,
            _ if life != self.current => return Ending::Late,
            State::Starting { executed } => (executed, None, true),
            State::Ready { executed } => (Some(executed), None, false),
            State::Stopping(stopping) => (None, Some(stopping), false),
        };
        // The worker that was to be replaced is still there: it keeps the slot.
        let still_serves = |old: &mut Outgoing| early && old.stopping.is_none();
        if let Some(old) = self.outgoing.take_if(still_serves) {
            self.tell_end(life, pid, end, None, Next::NotNeeded, turn);
            self.current = old.life;
            self.state = State::Ready { executed: old.executed };
            return Ending::Early;
        }
        let fault = end.as_ref().err().copied();
        let up = executed.map_or(Duration::ZERO, |at| turn.now.saturating_sub(at));
        let next = self.next(&end, stopping, Lived { up, early }, jitter, turn);
        let well = self.tell_end(life, pid, end, stopping, next, turn);
        match next {
            Next::Again(delay) if delay.is_zero() => self.spawn(turn),
            Next::Again(delay) => self.state = State::Empty { not_before: turn.now + delay },
            Next::GaveUp => self.state = State::Retired(Retired::GaveUp),
            Next::Done | Next::Replaced | Next::NotNeeded => {
                self.state = State::Retired(if well { Retired::Well } else { Retired::Failed });
            }
        }
        match fault {
            Some(fault) if turn.is_hopeless(fault) => Ending::CannotStart(fault),
            _ if early => Ending::Early,
            _ => Ending::Ordinary,
        }
    }

    /// The run ends: so shall whatever the slot holds.
    pub(super) fn stop(&mut self, turn: &mut Turn<'_>) {
        let why = StopReason::Shutdown;
        match &mut self.state {
            State::Empty { .. } => self.state = State::Retired(Retired::Well),
            State::Starting { executed } => {
                let heard = executed.is_some();
                self.state = State::Stopping(Stopping::begin(why, heard, self.worker(), turn));
            }
            State::Ready { .. } => {
                self.state = State::Stopping(Stopping::begin(why, true, self.worker(), turn));
            }
            State::Stopping(stopping) => stopping.why = why,
            State::Retired(_) => {}
        }
        self.ask_outgoing(why, turn);
    }

    /// Whatever the slot holds shall end now.
    pub(super) fn kill(&mut self, turn: &mut Turn<'_>) {
        if let State::Stopping(stopping) = self.state
            && let Some(killed) = stopping.kill(self.worker(), turn)
        {
            self.state = State::Stopping(killed);
        }
        if let Some(stopping) = self.outgoing.as_ref().and_then(|old| old.stopping)
            && stopping.rung != Rung::Killed
        {
            self.climb_outgoing(stopping, turn);
        }
    }

    /// A roll begins: the worker there is now shall be replaced, when its turn comes.
    pub(super) fn mark_stale(&mut self) {
        self.stale_through = self.lives;
    }

    /// A roll is called off.
    pub(super) fn unmark_stale(&mut self) {
        self.stale_through = 0;
    }

    /// Whether a roll may go on to the next slot.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Ready { .. } | State::Retired(_)) && self.outgoing.is_none()
    }

    /// Replaces the worker, if it is ready and of before the roll. Whether it did.
    pub(super) fn replace_stale(&mut self, turn: &mut Turn<'_>) -> bool {
        let State::Ready { executed } = self.state else { return false };
        if self.current > self.stale_through || self.outgoing.is_some() {
            return false;
        }
        match turn.policy.roll {
            Roll::StartFirst => {
                let life = self.current;
                self.outgoing = Some(Outgoing { life, executed, stopping: None });
                self.spawn(turn);
            }
            Roll::StopFirst => {
                let why = StopReason::Roll;
                self.state = State::Stopping(Stopping::begin(why, true, self.worker(), turn));
            }
        }
        true
    }

    /// The processes the slot holds, for the invariants of the simulation.
    #[cfg(test)]
    pub(super) fn lives_held(&self) -> Vec<u32> {
        let own = (!matches!(self.state, State::Empty { .. } | State::Retired(_)))
            .then_some(self.current);
        own.into_iter().chain(self.outgoing.as_ref().map(|old| old.life)).collect()
    }

    fn worker(&self) -> WorkerId {
        WorkerId { slot: self.number, life: self.current }
    }

    fn spawn(&mut self, turn: &mut Turn<'_>) {
        self.lives += 1;
        self.current = self.lives;
        self.state = State::Starting { executed: None };
        turn.actions.push(Action::Spawn(self.worker()));
    }

    fn ask_outgoing(&mut self, why: StopReason, turn: &mut Turn<'_>) {
        let Some(old) = &mut self.outgoing else { return };
        match &mut old.stopping {
            Some(stopping) => stopping.why = why,
            None => {
                let worker = WorkerId { slot: self.number, life: old.life };
                old.stopping = Some(Stopping::begin(why, true, worker, turn));
            }
        }
    }

    fn climb_outgoing(&mut self, stopping: Stopping, turn: &mut Turn<'_>) {
        self.outgoing = self.outgoing.take().and_then(|old| {
            let worker = WorkerId { slot: self.number, life: old.life };
            let climbed = stopping.climb(worker, turn)?;
            Some(Outgoing { stopping: Some(climbed), ..old })
        });
    }

    /// What becomes of the slot after this end.
    fn next(
        &mut self,
        end: &Result<Evidence, StartFault>,
        stopping: Option<Stopping>,
        lived: Lived,
        jitter: Jitter,
        turn: &Turn<'_>,
    ) -> Next {
        let again = match end {
            _ if turn.stopping => false,
            _ if stopping.is_some_and(|s| s.why == StopReason::Roll) => {
                return Next::Again(Duration::ZERO);
            }
            // Nothing ran, so this is no restart: any policy tries once more.
            Err(fault) if fault.is_transient() => true,
            Err(fault) if turn.is_hopeless(*fault) => false,
            Ok(evidence) if evidence.status.is_success() => turn.policy.restart == Restart::Always,
            _ => turn.policy.restart != Restart::Never,
        };
        if !again {
            return Next::Done;
        }
        self.record.delay(!lived.early, lived.up, jitter).map_or(Next::GaveUp, Next::Again)
    }

    /// Judges an end and tells it; whether the worker ended well.
    fn tell_end(
        &self,
        life: u32,
        pid: Option<i32>,
        end: Result<Evidence, StartFault>,
        stopping: Option<Stopping>,
        next: Next,
        turn: &mut Turn<'_>,
    ) -> bool {
        let policy = turn.policy;
        let asked = stopping
            .filter(|stopping| stopping.rung != Rung::Unheard)
            .map(|Stopping { why, rung, .. }| Asked { why, killed: rung == Rung::Killed });
        let circumstances =
            Circumstances { limits: &policy.limits, stop_signal: policy.stop_signal, asked };
        let (cause, evidence) = match (end, asked) {
            (Ok(evidence), _) => (cause(&evidence, circumstances), Some(evidence)),
            // Killed before its exec: what ended the stub was meant for the program.
            (Err(_), Some(asked @ Asked { killed: true, .. })) => (Cause::AskedToStop(asked), None),
            (Err(fault), _) => (Cause::CouldNotStart(fault), None),
        };
        let well = match cause {
            Cause::AskedToStop(_) => true,
            _ => evidence.as_ref().is_some_and(|evidence| evidence.status.is_success()),
        };
        let worker = WorkerId { slot: self.number, life };
        turn.tell(Event::Ended(Ended { worker, pid, cause, evidence, next }));
        well
    }
}

/// The life that ended.
#[derive(Clone, Copy)]
struct Lived {
    up: Duration,
    early: bool,
}
