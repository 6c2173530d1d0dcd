//! A numbered place for a worker. A slot holds at most two processes: its current worker and,
//! while that one comes up, the retiring worker that it replaces.

use std::time::Duration;

use super::{
    context::{Contact, StepContext},
    input::{Jitter, Memory, News, Tick},
    ledger::JobKey,
    policy::Policy,
    restart::Record,
    stopping::is_replaced_at_once,
    worker::{Died, Due, End, Phase, READY_AFTER, Worker},
};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Cause, ProcessEnd, StartFault, StopReason},
    rules::Restart,
};

/// A worker whose replacement did not come up is not replaced again for its age or size within
/// this time.
const KEPT_FOR: Duration = Duration::from_secs(10);

/// A slot.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) number: u32,
    /// Workers started so far; each is one generation.
    pub(super) generations: u32,
    pub(super) current: Occupant,
    /// The worker whose replacement is `current`. It serves until that is ready.
    pub(super) retiring: Option<Worker>,
    restarts: Record,
    pub(super) stale: Stale,
    /// No worker is replaced for its age or size before this.
    pub(super) keep_until: Tick,
    /// There are to be fewer slots: no other worker follows.
    pub(super) is_surplus: bool,
    /// It has lost a worker, or was never needed, while no worker had spoken the protocol.
    pub(super) died_silent: bool,
}

/// What a slot holds besides a retiring worker.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "a slot nearly always holds a worker")]
pub(super) enum Occupant {
    /// Nothing; a worker starts at that time.
    Vacant {
        not_before: Tick,
    },
    Worker(Worker),
    /// Nothing, and no worker follows.
    Retired(Retired),
}

/// The workers of a slot that are to be replaced.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stale {
    /// All generations up to this one; 0 for none.
    pub(super) through: u32,
    pub(super) why: StopReason,
}

/// How a slot came to rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Retired {
    /// Its last worker ended well, or as it was asked to.
    Well,
    /// Its last worker failed.
    Failed,
    /// Too many workers died before they were ready.
    GaveUp,
}

/// What the end of a worker means beyond its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    None,
    /// The worker had not been ready; this is why it ended.
    Early(Cause),
    /// The program cannot be started, and another try would not change that.
    CannotStart(StartFault),
}

impl Slot {
    pub(super) fn new(number: u32) -> Self {
        Self {
            number,
            generations: 0,
            current: Occupant::Vacant { not_before: Tick::ZERO },
            retiring: None,
            restarts: Record::default(),
            stale: Stale { through: 0, why: StopReason::Roll },
            keep_until: Tick::ZERO,
            is_surplus: false,
            died_silent: false,
        }
    }

    /// How the slot came to rest; `None` while it has a process or will have one.
    pub(super) fn retired(&self) -> Option<Retired> {
        match self.current {
            Occupant::Retired(how) if self.retiring.is_none() => Some(how),
            _ => None,
        }
    }

    /// The current worker.
    pub(super) fn worker(&self) -> Option<&Worker> {
        match &self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        }
    }

    pub(super) fn worker_mut(&mut self) -> Option<&mut Worker> {
        match &mut self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        }
    }

    /// The current worker, if it is ready.
    pub(super) fn ready_worker(&self) -> Option<&Worker> {
        self.worker().filter(|worker| worker.is_ready())
    }

    /// All workers of the slot, the retiring one first.
    pub(super) fn workers(&self) -> impl Iterator<Item = &Worker> {
        self.retiring.iter().chain(self.worker())
    }

    pub(super) fn workers_mut(&mut self) -> impl Iterator<Item = &mut Worker> {
        let current = match &mut self.current {
            Occupant::Worker(worker) => Some(worker),
            Occupant::Vacant { .. } | Occupant::Retired(_) => None,
        };
        self.retiring.iter_mut().chain(current)
    }

    /// The worker of this generation, if the slot still holds it.
    pub(super) fn find(&mut self, worker: WorkerId) -> Option<&mut Worker> {
        self.workers_mut().find(|known| known.id == worker)
    }

    /// The worker that takes jobs: the retiring one until its replacement is ready.
    pub(super) fn taker(&mut self) -> Option<&mut Worker> {
        self.workers_mut().find(|worker| worker.is_ready())
    }

    /// The job that each of its workers runs, or is about to run, and since when.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, JobKey, Tick)> {
        self.workers().filter_map(|worker| {
            let (key, since) = worker.session.running()?;
            Some((worker.id, key, since))
        })
    }

    /// The number of the last worker that was started or reinstated.
    pub(super) fn generation(&self) -> u32 {
        self.worker().map_or(self.generations, |worker| worker.id.generation)
    }

    /// When something is due.
    pub(super) fn deadline(&self, policy: &Policy, contact: Contact) -> Option<Tick> {
        let vacant = match self.current {
            Occupant::Vacant { not_before } => Some(not_before),
            Occupant::Worker(_) | Occupant::Retired(_) => None,
        };
        let workers = self.workers().filter_map(|worker| worker.deadline(policy, contact));
        workers.chain(vacant).chain(self.recycle_due(policy)).min()
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, ctx: &mut StepContext<'_>) {
        let due = match &mut self.current {
            Occupant::Vacant { not_before } if *not_before <= ctx.now => {
                self.spawn(ctx);
                Due::Nothing
            }
            Occupant::Worker(worker) => worker.on_time(ctx),
            Occupant::Vacant { .. } | Occupant::Retired(_) => Due::Nothing,
        };
        match due {
            Due::Nothing => {}
            Due::Ready => self.hand_over(ctx),
            Due::Unkillable => self.abandon(ctx),
        }
        if self.recycle_due(ctx.policy).is_some_and(|due| due <= ctx.now) {
            self.recycle();
        }
        if self.retiring.as_mut().is_some_and(|old| old.on_time(ctx) == Due::Unkillable)
            && let Some(old) = self.retiring.take()
        {
            old.abandon(ctx);
        }
    }

    /// The current worker is ready: it takes over from the retiring one.
    fn hand_over(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(old) = &mut self.retiring {
            old.stop(self.stale.why, true, ctx);
        }
    }

    /// The current worker was killed, and the kernel holds it. It is waited for no longer.
    fn abandon(&mut self, ctx: &mut StepContext<'_>) {
        let failed = Occupant::Retired(Retired::Failed);
        let Occupant::Worker(worker) = std::mem::replace(&mut self.current, failed) else { return };
        let why = worker.abandon(ctx);
        if self.reinstate(ctx.now) {
            return;
        }
        let is_replaced = match why {
            Some(StopReason::Killed) => ctx.policy.restart != Restart::Never,
            Some(why) => is_replaced_at_once(why),
            None => false,
        };
        if is_replaced && !ctx.is_stopping && !self.is_surplus {
            self.spawn(ctx);
        }
    }

    /// The replacement did not come up. A retiring worker that still serves keeps the slot.
    fn reinstate(&mut self, now: Tick) -> bool {
        let Some(mut old) = self.retiring.take_if(|old| old.is_ready()) else { return false };
        old.session.renew();
        self.keep_until = now + KEPT_FOR;
        self.stale.through = 0;
        self.current = Occupant::Worker(old);
        true
    }

    /// Takes news of a worker. `None` where the slot does not hold that worker, or the news cannot
    /// be of it.
    pub(super) fn on_news(
        &mut self,
        worker: WorkerId,
        news: News,
        ctx: &mut StepContext<'_>,
    ) -> Option<Consequence> {
        let held = self.find(worker)?;
        let mut sample = None;
        match news {
            News::Executed { pid } => held.on_executed(pid, ctx)?,
            News::Hello(abilities) => {
                if held.on_hello(abilities, ctx)? == Due::Ready {
                    self.hand_over(ctx);
                }
            }
            News::Replies { replies, memory, printed } => {
                if printed {
                    held.session.keep_apart();
                }
                sample = memory;
                held.on_replies(replies, memory, ctx);
            }
            News::Retracted { replies, started } => held.on_retracted(started, replies, ctx),
            News::Unsendable { id, bytes, bytes_max } => {
                held.on_unsendable(id, [bytes, bytes_max], ctx);
            }
            News::Closed(pipe) => held.on_closed(pipe, ctx.now),
            News::Broken(fault) => held.break_off(fault, ctx),
            News::Ended { pid, end, left, jitter } => {
                return Some(self.on_ended(worker, End { pid, end, left }, jitter, ctx));
            }
        }
        self.after_news(worker, sample, ctx);
        Some(Consequence::None)
    }

    /// Forgives early deaths once a worker has answered a job, and recycles a worker that has
    /// served long enough.
    fn after_news(&mut self, worker: WorkerId, memory: Option<Memory>, ctx: &StepContext<'_>) {
        let Some(current) = self.worker().filter(|current| current.id == worker) else { return };
        let (is_ready, has_answered) = (current.is_ready(), current.session.has_answered());
        let is_spent = ctx.policy.jobs.as_ref().is_some_and(|rules| {
            let large = rules.recycle.resident_bytes.zip(memory);
            let is_large = large.is_some_and(|(max, memory)| memory.resident_bytes >= max);
            is_large || current.session.is_spent(rules)
        });
        if has_answered {
            self.restarts.forgive();
        }
        if is_ready && is_spent && ctx.now >= self.keep_until {
            self.recycle();
        }
    }

    /// The process of a worker is gone.
    fn on_ended(
        &mut self,
        worker: WorkerId,
        end: End,
        jitter: Jitter,
        ctx: &mut StepContext<'_>,
    ) -> Consequence {
        if let Some(old) = self.retiring.take_if(|old| old.id == worker) {
            let died = old.end(end, ctx);
            emit_end(died, Next::Replaced, ctx);
            return Consequence::None;
        }
        let vacant = Occupant::Vacant { not_before: ctx.now };
        let Occupant::Worker(current) = std::mem::replace(&mut self.current, vacant) else {
            return Consequence::None;
        };
        let died = current.end(end, ctx);
        if self.reinstate(ctx.now) {
            let cause = died.cause;
            emit_end(died, Next::NotNeeded, ctx);
            return Consequence::Early(cause);
        }
        let lived = Lived::of(&died, ctx);
        let next = self.next(&died, lived, jitter, ctx);
        let consequence = match died.end {
            ProcessEnd::NeverStarted(fault) if ctx.is_hopeless(fault) => {
                Consequence::CannotStart(fault)
            }
            _ if lived.is_unready || lived.is_early => Consequence::Early(died.cause),
            _ => Consequence::None,
        };
        let is_well = emit_end(died, next, ctx);
        match next {
            Next::Again(delay) if delay.is_zero() => self.spawn(ctx),
            Next::Again(delay) => {
                self.current = Occupant::Vacant { not_before: ctx.now + delay };
            }
            Next::GaveUp => self.current = Occupant::Retired(Retired::GaveUp),
            Next::Done | Next::Replaced | Next::NotNeeded => {
                let how = if is_well { Retired::Well } else { Retired::Failed };
                self.current = Occupant::Retired(how);
            }
        }
        consequence
    }

    /// What becomes of the slot after the end of its current worker.
    fn next(&mut self, died: &Died, lived: Lived, jitter: Jitter, ctx: &StepContext<'_>) -> Next {
        let stopped_for = match died.phase {
            Phase::Stopping(stop) => Some(stop.why),
            Phase::Spawned | Phase::Executed { .. } | Phase::Ready { .. } => None,
        };
        let is_again = match &died.end {
            _ if ctx.is_stopping => false,
            // There is nothing for a worker to do here, or no place.
            _ if self.is_surplus || stopped_for == Some(StopReason::Finished) => false,
            // Not so one that let its time pass and never took up a job.
            _ if stopped_for.is_some_and(is_replaced_at_once) && !lived.is_early => {
                return Next::Again(Duration::ZERO);
            }
            // Nothing ran, so this is no restart: any policy tries once more.
            ProcessEnd::Withdrawn => true,
            ProcessEnd::NeverStarted(fault) if fault.is_transient() => true,
            ProcessEnd::NeverStarted(fault) if ctx.is_hopeless(*fault) => false,
            _ if died.is_success() && !matches!(died.cause, Cause::Protocol(_)) => {
                ctx.policy.restart == Restart::Always
            }
            _ => ctx.policy.restart != Restart::Never,
        };
        if !is_again {
            return Next::Done;
        }
        self.restarts.delay(!lived.is_early, lived.up, jitter).map_or(Next::GaveUp, Next::Again)
    }

    /// All workers are to end for this reason, and no other follows. Where `drains`, they may
    /// finish the jobs that they have started.
    pub(super) fn stop(&mut self, why: StopReason, drains: bool, ctx: &mut StepContext<'_>) {
        if matches!(self.current, Occupant::Vacant { .. }) {
            self.current = Occupant::Retired(Retired::Well);
        }
        if let Some(worker) = self.worker_mut() {
            worker.stop(why, drains, ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.stop(why, drains, ctx);
        }
    }

    /// A user asked once more for the end.
    pub(super) fn press(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.press(ctx);
        }
        if let Some(old) = &mut self.retiring {
            old.press(ctx);
        }
    }

    pub(super) fn spawn(&mut self, ctx: &mut StepContext<'_>) {
        self.generations += 1;
        let id = WorkerId { slot: self.number, generation: self.generations };
        self.current = Occupant::Worker(Worker::spawn(id, ctx));
    }

    /// Whether the slot takes jobs, or will, sooner or later.
    pub(super) fn may_take(&mut self) -> bool {
        self.is_coming() || self.taker().is_some_and(|worker| worker.session.is_reliable())
    }

    /// Whether a fresh worker is there or on its way.
    pub(super) fn is_coming(&self) -> bool {
        match &self.current {
            Occupant::Vacant { .. } => true,
            Occupant::Worker(worker) => worker.is_fresh_or_replaced(),
            Occupant::Retired(_) => false,
        }
    }

    /// Whether the slot holds nothing but a worker whose program was not executed yet.
    pub(super) fn is_unbegun(&self) -> bool {
        let is_spawned = |worker: &Worker| matches!(worker.phase, Phase::Spawned);
        self.retiring.is_none() && self.worker().is_some_and(is_spawned)
    }

    /// Whether the slot has a worker that can be counted on, or will have one.
    pub(super) fn is_manned(&self) -> bool {
        match &self.current {
            Occupant::Vacant { .. } => true,
            Occupant::Worker(worker) => worker.is_counted_on(),
            Occupant::Retired(_) => false,
        }
    }

    pub(super) fn may_make_way(&self) -> bool {
        self.ready_worker().is_some() && self.retiring.is_none()
    }

    /// The current worker makes way for a fresh one once it has finished what it has started.
    pub(super) fn make_way(&mut self, ctx: &mut StepContext<'_>) {
        if let Some(worker) = self.worker_mut() {
            worker.stop(StopReason::IsolatedRetry, true, ctx);
        }
    }
}

/// How a worker lived that ended, as it is judged for a restart.
#[derive(Clone, Copy)]
struct Lived {
    /// How long the program ran; zero for a worker that was being stopped.
    up: Duration,
    /// It was not ready, and was not being stopped.
    is_unready: bool,
    /// Its death is the program's fault.
    is_early: bool,
}

impl Lived {
    fn of(died: &Died, ctx: &StepContext<'_>) -> Self {
        let (executed, makes_way) = match died.phase {
            Phase::Spawned => (None, false),
            Phase::Executed { at } | Phase::Ready { executed: at } => (Some(at), false),
            Phase::Stopping(stop) => (None, !stop.why.is_charge()),
        };
        let up = executed.map_or(Duration::ZERO, |at| ctx.now.saturating_sub(at));
        let is_unready = matches!(died.phase, Phase::Spawned | Phase::Executed { .. });
        let is_settled = up >= READY_AFTER || died.has_worked || makes_way;
        let is_early = if ctx.policy.jobs.is_some() { !is_settled } else { is_unready };
        Self { up, is_unready, is_early }
    }
}

impl Died {
    fn is_success(&self) -> bool {
        self.end.evidence().is_some_and(|evidence| evidence.status.is_success())
    }
}

/// Reports an end. Returns whether the worker ended well.
fn emit_end(died: Died, next: Next, ctx: &mut StepContext<'_>) -> bool {
    let is_well = match died.cause {
        Cause::AskedToStop(asked) if asked.why != StopReason::Killed => true,
        _ => died.is_success(),
    };
    let Died { worker, pid, end, cause, .. } = died;
    let evidence = match end {
        ProcessEnd::Ended(evidence) => Some(evidence),
        ProcessEnd::NeverStarted(_) | ProcessEnd::Withdrawn | ProcessEnd::Unobserved { .. } => None,
    };
    ctx.emit(Event::Ended(Ended { worker, pid, cause, evidence, next }));
    is_well
}
