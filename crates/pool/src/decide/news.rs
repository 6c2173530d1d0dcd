//! Applies news about a worker to its slot. Above all, it handles the end of a worker: whether
//! another one starts, when, and what is reported.

use std::time::Duration;

use super::{
    context::StepContext,
    input::{Jitter, News, Tick},
    restart::Life,
    slot::{Occupant, Retired, Slot},
    stopping::is_replaced_at_once,
    worker::{READY_AFTER, SlotNotice, WorkerPhase},
    worker_end::{Died, End},
};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Cause, ProcessEnd, Sender, StartFault, StopReason},
    rules::Restart,
};

/// What the end of a worker means for the run, beyond its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Consequence {
    None,
    /// The worker ended before it was ready or of any use: why, and when the next one starts.
    Early {
        cause: Cause,
        again: Option<Tick>,
    },
    /// The program cannot be started, and a retry would fail in the same way.
    CannotStart(StartFault),
}

impl Slot {
    /// Takes news about a worker. Returns `None` if the slot does not hold that worker, or the news
    /// is impossible in its phase.
    pub(super) fn on_news(
        &mut self,
        worker: WorkerId,
        news: News,
        ctx: &mut StepContext<'_>,
    ) -> Option<Consequence> {
        let held = self.find(worker)?;
        match news {
            News::Executed { pid } => held.on_executed(pid, ctx)?,
            News::Hello(abilities) => {
                if held.on_hello(abilities, ctx)? == SlotNotice::Ready {
                    self.hand_over(ctx);
                }
            }
            News::Replies { replies, memory, printed } => {
                if printed {
                    held.session.keep_apart();
                }
                held.on_replies(replies, memory, ctx);
            }
            News::Retracted { replies, started } => held.on_retracted(started, replies, ctx),
            News::Unsendable { id, why } => held.on_unsendable(id, why, ctx),
            News::Progress { id, progress } => held.session.on_progress(id, progress, ctx),
            News::Closed(pipe) => held.on_closed(pipe, ctx.now),
            News::Broken(fault) => held.break_off(fault, ctx),
            News::Ended { pid, end, remains, jitter } => {
                return Some(self.on_ended(worker, End { pid, end, remains }, jitter, ctx));
            }
        }
        self.after_news(worker, ctx);
        Some(Consequence::None)
    }

    /// Forgets the crashes of the slot once a worker has answered a job, and recycles a worker
    /// that has reached its limit of jobs or memory.
    fn after_news(&mut self, worker: WorkerId, ctx: &StepContext<'_>) {
        let Some(current) = self.worker().filter(|current| current.id == worker) else { return };
        let (is_ready, has_answered) = (current.is_ready(), current.session.has_answered());
        let rules = ctx.policy.jobs.as_ref();
        let is_spent = rules.is_some_and(|rules| current.session.is_spent(rules));
        if has_answered {
            self.crashes.forgive();
        }
        if is_ready && is_spent && ctx.now >= self.keep_until {
            self.recycle();
        }
    }

    /// Takes the end of a worker's process.
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
            return Consequence::Early { cause, again: None };
        }
        let life = life(&died, ctx);
        let successor = self.successor(&died, life, jitter, ctx);
        let again = match successor {
            Successor::After(delay) => Some(ctx.now + delay),
            Successor::GaveUp | Successor::None => None,
        };
        let consequence = match died.end {
            ProcessEnd::NeverStarted(fault) if ctx.is_hopeless(fault) => {
                Consequence::CannotStart(fault)
            }
            _ if matches!(life, Life::Served | Life::Crashed) => Consequence::None,
            _ => Consequence::Early { cause: died.cause, again },
        };
        let is_well = emit_end(died, successor.into(), ctx);
        match successor {
            Successor::After(delay) if delay.is_zero() => self.spawn(ctx),
            Successor::After(delay) => {
                self.current = Occupant::Vacant { not_before: ctx.now + delay };
            }
            Successor::GaveUp => self.current = Occupant::Retired(Retired::GaveUp),
            Successor::None => {
                let how = if is_well { Retired::Well } else { Retired::Failed };
                self.current = Occupant::Retired(how);
            }
        }
        consequence
    }

    /// Decides whether another worker follows the current one, which ended.
    fn successor(
        &mut self,
        died: &Died,
        life: Life,
        jitter: Jitter,
        ctx: &StepContext<'_>,
    ) -> Successor {
        let stopped_for = match died.phase {
            WorkerPhase::Stopping(stop) => Some(stop.why),
            WorkerPhase::Spawned | WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => None,
        };
        let is_restarted = match &died.end {
            _ if ctx.is_stopping => false,
            // The slot is surplus, or there are no more jobs.
            _ if self.is_surplus(ctx.policy) || stopped_for == Some(StopReason::Finished) => false,
            // Except one stopped for a timeout without starting any job: that is an early death.
            _ if stopped_for.is_some_and(is_replaced_at_once) && life == Life::Served => {
                return Successor::After(Duration::ZERO);
            }
            // The program never ran, so the next start is not a restart: every policy allows it.
            ProcessEnd::Withdrawn => true,
            ProcessEnd::NeverStarted(fault) if fault.is_transient() => true,
            ProcessEnd::NeverStarted(fault) if ctx.is_hopeless(*fault) => false,
            _ if died.is_success() && !matches!(died.cause, Cause::Protocol(_)) => {
                ctx.policy.restart == Restart::Always
            }
            _ => ctx.policy.restart != Restart::Never,
        };
        if !is_restarted {
            return Successor::None;
        }
        let delay = self.crashes.delay(life, ctx.now, jitter, ctx.policy.intensity);
        delay.map_or(Successor::GaveUp, Successor::After)
    }
}

/// The worker that follows one that ended.
#[derive(Clone, Copy)]
enum Successor {
    /// One that starts after this delay.
    After(Duration),
    /// None, because of too many crashes.
    GaveUp,
    /// None, because of the policy or because the run stops.
    None,
}

impl From<Successor> for Next {
    fn from(successor: Successor) -> Self {
        match successor {
            Successor::After(delay) => Self::Restart(delay),
            Successor::GaveUp => Self::GaveUp,
            Successor::None => Self::Done,
        }
    }
}

/// How the life of a worker ended, as far as it matters for the next start.
fn life(died: &Died, ctx: &StepContext<'_>) -> Life {
    let has_jobs = ctx.policy.jobs.is_some();
    let up = |executed| ctx.now.saturating_sub(executed);
    let was_of_use = match died.phase {
        WorkerPhase::Spawned | WorkerPhase::Executed { .. } => false,
        WorkerPhase::Ready { executed } => up(executed) >= READY_AFTER,
        WorkerPhase::Stopping(stop) if !stop.why.is_charge() => return Life::Served,
        WorkerPhase::Stopping(_) => !has_jobs,
    };
    let is_well = died.is_success() && !matches!(died.cause, Cause::Protocol(_));
    match (&died.end, died.cause) {
        (ProcessEnd::NeverStarted(fault), _) if fault.is_transient() => Life::NotStarted,
        (ProcessEnd::Withdrawn, _) => Life::Served,
        // A death while a job ran is the job's.
        _ if has_jobs && died.has_worked => Life::Served,
        (_, Cause::Signal(Sender::Outside)) if was_of_use => Life::Served,
        (_, Cause::Signal(Sender::Outside)) => Life::EndedEarly,
        _ if is_well && was_of_use => Life::Served,
        // With jobs, a worker that ends without having done one is of no use, however it ends.
        _ if is_well && !has_jobs => Life::EndedEarly,
        _ if was_of_use => Life::Crashed,
        _ => Life::CrashedEarly,
    }
}

impl Died {
    fn is_success(&self) -> bool {
        self.end.evidence().is_some_and(|evidence| evidence.status.is_success())
    }
}

/// Reports the end of a worker. Returns whether it succeeded, or ended as requested.
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
