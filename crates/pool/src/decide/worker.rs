//! One worker process, from the decision to start it to its end. The rules apply in the same way to
//! both workers that a slot may hold, the current one and the retiring one.

use std::time::Duration;

use super::{
    action::Action,
    context::{Contact, Speech, StepContext},
    input::{Abilities, Memory, Reply, Tick, Unsendable},
    policy::Policy,
    session::Session,
    shutdown::Urgency,
    stopping::{Stage, Stop, StopNews, is_replaced_at_once},
};
use crate::{
    event::{Event, WorkerId},
    exit::{Pipe, ProtocolFault, StopReason},
};

/// Without jobs, a worker is ready this long after its program was executed. With jobs, the end of
/// a worker within this time, without having done a job, is an early death.
pub(super) const READY_AFTER: Duration = Duration::from_secs(1);
/// A worker that has not said hello this long after its execution is reported, if none has before.
const SILENCE_NOTED_AFTER: Duration = Duration::from_secs(3);

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) phase: WorkerPhase,
    pub(super) session: Session,
}

/// The phase of a worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum WorkerPhase {
    /// Its start was decided, and its program is not executed yet.
    Spawned,
    /// Its program is executed, and it is not ready yet.
    Executed { at: Tick, patience: Patience },
    /// It serves. `executed` is when its program was executed.
    Ready { executed: Tick },
    /// It is being stopped.
    Stopping(Stop),
}

/// How long the pool waits for a worker to become ready.
#[derive(Clone, Copy, Debug)]
pub(super) enum Patience {
    /// Until this time.
    Until(Tick),
    /// The time is over, and the pool waits for the answer to [`Action::ExamineStart`]: time in which
    /// other processes had the processors does not count.
    Examining,
}

/// A change of a worker on which its slot must act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum SlotNotice {
    Nothing,
    /// It became ready.
    Ready,
    /// It was killed, and the kernel cannot end it yet.
    Unkillable,
}

impl Worker {
    /// Starts a worker.
    pub(super) fn spawn(id: WorkerId, ctx: &mut StepContext<'_>) -> Self {
        ctx.actions.push(Action::Spawn(id));
        Self { id, phase: WorkerPhase::Spawned, session: Session::new(id) }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, WorkerPhase::Ready { .. })
    }

    pub(super) fn stop_under_way(&self) -> Option<Stop> {
        match self.phase {
            WorkerPhase::Stopping(stop) => Some(stop),
            WorkerPhase::Spawned | WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => None,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.stop_under_way().is_some_and(|stop| stop.stage == Stage::Draining)
    }

    /// Whether it serves or drains. The jobs of a worker in any other phase are requeued at its
    /// end.
    pub(super) fn works(&self) -> bool {
        self.is_ready() || self.is_draining()
    }

    /// Whether the worker or its replacement serves, now or later.
    pub(super) fn is_counted_on(&self) -> bool {
        match self.phase {
            WorkerPhase::Spawned | WorkerPhase::Executed { .. } => true,
            WorkerPhase::Ready { .. } => self.session.is_reliable(),
            WorkerPhase::Stopping(stop) => stop.why != StopReason::Finished,
        }
    }

    /// Whether it is a fresh worker, or is being replaced by one.
    pub(super) fn is_fresh_or_replaced(&self) -> bool {
        match self.phase {
            WorkerPhase::Spawned | WorkerPhase::Executed { .. } => true,
            WorkerPhase::Ready { .. } => self.session.is_fresh(),
            WorkerPhase::Stopping(stop) => is_replaced_at_once(stop.why),
        }
    }

    /// The earliest deadline of the worker.
    pub(super) fn deadline(&self, policy: &Policy, contact: Contact) -> Option<Tick> {
        let rules = policy.jobs.as_ref();
        let session = || rules.and_then(|rules| self.session.deadline(rules));
        match self.phase {
            WorkerPhase::Spawned => None,
            WorkerPhase::Executed { at, patience: Patience::Until(until) } => {
                let is_noted = rules.is_some() && contact.speech == Speech::Awaited;
                Some(if is_noted { until.min(at + SILENCE_NOTED_AFTER) } else { until })
            }
            WorkerPhase::Executed { patience: Patience::Examining, .. } => None,
            WorkerPhase::Ready { .. } => session(),
            WorkerPhase::Stopping(stop) if stop.stage == Stage::Draining => {
                Some(session().map_or(stop.deadline, |job| job.min(stop.deadline)))
            }
            WorkerPhase::Stopping(stop) => Some(stop.deadline),
        }
    }

    /// Acts on the deadlines that have passed.
    pub(super) fn on_time(&mut self, ctx: &mut StepContext<'_>) -> SlotNotice {
        match self.phase {
            WorkerPhase::Spawned => SlotNotice::Nothing,
            WorkerPhase::Executed { at, patience: Patience::Until(until) } => {
                self.not_ready_on_time(at, until, ctx)
            }
            WorkerPhase::Executed { patience: Patience::Examining, .. } => SlotNotice::Nothing,
            WorkerPhase::Ready { .. } => {
                self.session_on_time(ctx);
                SlotNotice::Nothing
            }
            WorkerPhase::Stopping(stop) => {
                if stop.stage == Stage::Draining && self.session_on_time(ctx) {
                    return SlotNotice::Nothing;
                }
                if stop.deadline > ctx.now || self.escalate(StopNews::TimeOver, ctx) {
                    SlotNotice::Nothing
                } else {
                    SlotNotice::Unkillable
                }
            }
        }
    }

    fn not_ready_on_time(
        &mut self,
        at: Tick,
        until: Tick,
        ctx: &mut StepContext<'_>,
    ) -> SlotNotice {
        let is_noted = ctx.now >= at + SILENCE_NOTED_AFTER;
        match &ctx.policy.jobs {
            None if ctx.now >= until => {
                self.become_ready(at, ctx);
                return SlotNotice::Ready;
            }
            Some(_) if ctx.now >= until => {
                self.phase = WorkerPhase::Executed { at, patience: Patience::Examining };
                ctx.actions.push(Action::ExamineStart(self.id));
            }
            Some(_) if is_noted && ctx.contact.speech == Speech::Awaited => {
                ctx.contact.speech = Speech::Missed;
                ctx.emit(Event::StillSilent { worker: self.id });
            }
            _ => {}
        }
        SlotNotice::Nothing
    }

    /// Takes the time for which it has waited for a processor since its start, and waits as much
    /// longer for its hello. Kills it if that time is over, too.
    pub(super) fn on_start_examined(&mut self, unserved: Duration, ctx: &mut StepContext<'_>) {
        let WorkerPhase::Executed { at, patience: Patience::Examining } = self.phase else {
            return;
        };
        let until = at + ready_within(ctx.policy) + unserved;
        if until > ctx.now {
            self.phase = WorkerPhase::Executed { at, patience: Patience::Until(until) };
        } else {
            self.break_off(ProtocolFault::Silence, ctx);
        }
    }

    /// Acts on the deadlines of its job. Returns whether that began to stop the worker.
    fn session_on_time(&mut self, ctx: &mut StepContext<'_>) -> bool {
        let Some(why) = self.session.on_time(ctx) else { return false };
        // After a timeout it gets the stop signal; after a protocol fault it is killed at once.
        let is_broken = matches!(why, StopReason::Protocol(_));
        self.begin_stop(why, if is_broken { Stage::Killed } else { Stage::Signalled }, ctx);
        true
    }

    fn become_ready(&mut self, executed: Tick, ctx: &mut StepContext<'_>) {
        self.phase = WorkerPhase::Ready { executed };
        ctx.emit(Event::Ready { worker: self.id });
    }

    /// Takes the news that its program was executed. `None` if that is impossible in its phase.
    pub(super) fn on_executed(&mut self, pid: i32, ctx: &mut StepContext<'_>) -> Option<()> {
        match self.phase {
            WorkerPhase::Spawned => {
                let patience = Patience::Until(ctx.now + ready_within(ctx.policy));
                self.phase = WorkerPhase::Executed { at: ctx.now, patience };
            }
            WorkerPhase::Stopping(Stop { stage: Stage::Unstarted | Stage::Killed, .. }) => {
                self.escalate(StopNews::Executed, ctx);
            }
            WorkerPhase::Stopping(_) | WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => {
                return None;
            }
        }
        self.session.set_pid(pid);
        ctx.contact.first_run.get_or_insert(ctx.now);
        if let Some(memory) = &mut ctx.memory {
            memory.begin(self.id, ctx.now);
        }
        ctx.emit(Event::Started { worker: self.id, pid });
        Some(())
    }

    /// Takes its hello, which makes it ready. `None` if it cannot have sent one in its phase.
    pub(super) fn on_hello(
        &mut self,
        abilities: Abilities,
        ctx: &mut StepContext<'_>,
    ) -> Option<SlotNotice> {
        let due = match self.phase {
            WorkerPhase::Spawned => return None,
            WorkerPhase::Executed { at, .. } => {
                self.session.introduce(abilities);
                self.become_ready(at, ctx);
                SlotNotice::Ready
            }
            WorkerPhase::Ready { .. } | WorkerPhase::Stopping(_) => SlotNotice::Nothing,
        };
        ctx.contact.speech = Speech::Heard;
        Some(due)
    }

    /// Takes replies of the worker.
    pub(super) fn on_replies(
        &mut self,
        replies: Vec<Reply>,
        memory: Option<Memory>,
        ctx: &mut StepContext<'_>,
    ) {
        let read = self.session.on_replies(replies, memory, ctx);
        self.after_replies(read, ctx);
    }

    /// Takes the answer to a retraction.
    pub(super) fn on_retracted(
        &mut self,
        started: Option<u64>,
        replies: Vec<Reply>,
        ctx: &mut StepContext<'_>,
    ) {
        let read = self.session.on_retracted(started, replies, ctx);
        self.after_replies(read, ctx);
    }

    /// Takes the news that a job was not sent to it, because the wire cannot carry it.
    pub(super) fn on_unsendable(&mut self, id: u64, why: Unsendable, ctx: &mut StepContext<'_>) {
        let read = self.session.on_unsendable(id, why, ctx);
        self.after_replies(read, ctx);
    }

    fn after_replies(&mut self, read: Result<(), ProtocolFault>, ctx: &mut StepContext<'_>) {
        if let Err(fault) = read {
            self.break_off(fault, ctx);
        } else if self.is_ready() && self.session.is_broken(ctx) {
            self.replace_failing(ctx);
        } else if self.session.is_idle() {
            self.escalate(StopNews::Idle, ctx);
        }
    }

    /// Stops it, so that a fresh worker replaces it at once.
    pub(super) fn replace_failing(&mut self, ctx: &mut StepContext<'_>) {
        ctx.health.note_replaced();
        self.stop(StopReason::Failing, ctx);
    }

    /// Takes the news that it has closed a pipe, or is ending.
    pub(super) fn on_closed(&mut self, pipe: Pipe, now: Tick) {
        self.session.close(pipe, now);
    }

    /// Kills the worker, because it broke the protocol.
    pub(super) fn break_off(&mut self, fault: ProtocolFault, ctx: &mut StepContext<'_>) {
        self.session.break_off();
        self.kill_for(StopReason::Protocol(fault), ctx);
    }

    /// Acts on a worker that holds more memory than the limit, with all processes below it. A
    /// launcher is asked to end its command; any other worker is killed.
    pub(super) fn on_overweight(&mut self, bytes: u64, ctx: &mut StepContext<'_>) {
        if ctx.policy.runs_commands {
            self.session.end_overweight(bytes, ctx);
        } else {
            self.session.note_overweight(bytes);
            self.kill_for(StopReason::Memory, ctx);
        }
    }

    /// Acts on a worker that holds nearly as much memory as the limit: if it fails jobs, want of
    /// memory is the likely reason, and it is replaced.
    pub(super) fn on_near_limit(&mut self, ctx: &mut StepContext<'_>) {
        if self.is_ready() && self.session.is_suspicious(ctx) && ctx.health.may_refresh() {
            self.replace_failing(ctx);
        }
    }

    /// Stops it for this reason. It may finish its running job within the time that the urgency of
    /// the shutdown leaves.
    pub(super) fn stop(&mut self, why: StopReason, ctx: &mut StepContext<'_>) {
        let stage = match &mut self.phase {
            WorkerPhase::Stopping(stop) => return stop.join(why, self.id, ctx),
            WorkerPhase::Spawned => Stage::Unstarted,
            WorkerPhase::Executed { .. } => Stage::Signalled,
            WorkerPhase::Ready { .. }
                if ctx.urgency == Urgency::Now || ctx.policy.jobs.is_none() =>
            {
                Stage::Signalled
            }
            WorkerPhase::Ready { .. } if self.session.is_idle() => Stage::Dismissed,
            WorkerPhase::Ready { .. } => {
                // Other workers, or a later run, do the jobs that wait behind the running one.
                self.session.retract_waiting(ctx);
                Stage::Draining
            }
        };
        self.begin_stop(why, stage, ctx);
    }

    /// Kills it at a user's request. If it is being stopped already, the reason does not change.
    pub(super) fn kill(&mut self, ctx: &mut StepContext<'_>) {
        match self.phase {
            WorkerPhase::Spawned => self.begin_stop(StopReason::Killed, Stage::Unstarted, ctx),
            WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => {
                return self.begin_stop(StopReason::Killed, Stage::Killed, ctx);
            }
            WorkerPhase::Stopping(_) => {}
        }
        self.escalate(StopNews::Kill, ctx);
    }

    /// Kills it for a fault of its own, in whatever phase it is.
    fn kill_for(&mut self, why: StopReason, ctx: &mut StepContext<'_>) {
        if self.stop_under_way().is_none_or(|stop| stop.stage != Stage::Killed) {
            self.begin_stop(why, Stage::Killed, ctx);
        }
    }

    /// Escalates its stop by one stage, because a user repeated the request.
    pub(super) fn press(&mut self, ctx: &mut StepContext<'_>) {
        self.escalate(StopNews::Pressed, ctx);
    }

    fn begin_stop(&mut self, why: StopReason, stage: Stage, ctx: &mut StepContext<'_>) {
        self.phase = WorkerPhase::Stopping(Stop::begin(why, stage, self.id, ctx));
    }

    /// Takes news about its stop, if it is being stopped. Returns false if it is unkillable.
    fn escalate(&mut self, news: StopNews, ctx: &mut StepContext<'_>) -> bool {
        match &mut self.phase {
            WorkerPhase::Stopping(stop) => stop.escalate(news, self.id, ctx),
            WorkerPhase::Spawned | WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => true,
        }
    }
}

/// The time that a worker has from its execution to being ready.
fn ready_within(policy: &Policy) -> Duration {
    policy.jobs.as_ref().map_or(READY_AFTER, |rules| rules.start_timeout)
}
