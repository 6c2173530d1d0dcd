//! What news of a worker means for its slot, above all the end of a worker: what becomes of the
//! slot then, and what is reported.

use std::time::Duration;

use super::{
    context::StepContext,
    input::{Jitter, Memory, News},
    slot::{Occupant, Retired, Slot},
    stopping::is_replaced_at_once,
    worker::{Due, Phase, READY_AFTER},
    worker_end::{Died, End},
};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Cause, ProcessEnd, StartFault, StopReason},
    rules::Restart,
};

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
