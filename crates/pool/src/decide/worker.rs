//! One worker process, from the decision to start it to its end. A slot holds at most two; every
//! rule about a worker is here once, whichever of the two it is.

use std::time::Duration;

use super::{
    action::Action,
    context::{Contact, Speech, StepContext},
    input::{Abilities, Memory, Reply, Tick},
    policy::Policy,
    session::Session,
    stopping::{Stage, Stop, StopNews, is_replaced_at_once},
};
use crate::{
    event::{Event, WorkerId},
    exit::{Pipe, ProtocolFault, StopReason},
    rules::JobRules,
};

/// Without the protocol, a worker counts as ready this long after its program was executed. With
/// it, a worker that dies sooner and has answered nothing died of the program.
pub(super) const READY_AFTER: Duration = Duration::from_secs(1);
/// When the silence of the first worker is reported, counted from its execution.
const SILENCE_NOTED_AFTER: Duration = Duration::from_secs(3);

/// One worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) id: WorkerId,
    pub(super) phase: Phase,
    pub(super) session: Session,
}

/// How far a worker is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Phase {
    /// Its process is to be started, and its program is not executed yet.
    Spawned,
    /// Its program is executed, and it is not ready.
    Executed { at: Tick },
    /// It serves. Its program was executed then.
    Ready { executed: Tick },
    /// It is to end.
    Stopping(Stop),
}

/// What happened to a worker that concerns its slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Due {
    Nothing,
    /// It became ready.
    Ready,
    /// It was killed, and the kernel holds it.
    Unkillable,
}

impl Worker {
    /// Starts a worker.
    pub(super) fn spawn(id: WorkerId, ctx: &mut StepContext<'_>) -> Self {
        ctx.actions.push(Action::Spawn(id));
        Self { id, phase: Phase::Spawned, session: Session::new(id) }
    }

    pub(super) fn is_ready(&self) -> bool {
        matches!(self.phase, Phase::Ready { .. })
    }

    pub(super) fn stop_under_way(&self) -> Option<Stop> {
        match self.phase {
            Phase::Stopping(stop) => Some(stop),
            Phase::Spawned | Phase::Executed { .. } | Phase::Ready { .. } => None,
        }
    }

    pub(super) fn is_draining(&self) -> bool {
        self.stop_under_way().is_some_and(|stop| stop.stage == Stage::Draining)
    }

    /// Whether it serves, or finishes what it does. Jobs of any other worker will be requeued.
    pub(super) fn works(&self) -> bool {
        self.is_ready() || self.is_draining()
    }

    /// Whether it can be counted on to serve, now or later, itself or by its successor.
    pub(super) fn is_counted_on(&self) -> bool {
        match self.phase {
            Phase::Spawned | Phase::Executed { .. } => true,
            Phase::Ready { .. } => self.session.is_reliable(),
            Phase::Stopping(stop) => stop.why != StopReason::Finished,
        }
    }

    /// Whether it is a fresh worker, or makes way for one.
    pub(super) fn is_fresh_or_replaced(&self) -> bool {
        match self.phase {
            Phase::Spawned | Phase::Executed { .. } => true,
            Phase::Ready { .. } => self.session.is_fresh(),
            Phase::Stopping(stop) => is_replaced_at_once(stop.why),
        }
    }

    /// When something is due about it.
    pub(super) fn deadline(&self, policy: &Policy, contact: Contact) -> Option<Tick> {
        let rules = policy.jobs.as_ref();
        let session = || rules.and_then(|rules| self.session.deadline(rules));
        match self.phase {
            Phase::Spawned => None,
            Phase::Executed { at } => Some(at + ready_within(rules, contact)),
            Phase::Ready { .. } => session(),
            Phase::Stopping(stop) if stop.stage == Stage::Draining => {
                Some(session().map_or(stop.deadline, |job| job.min(stop.deadline)))
            }
            Phase::Stopping(stop) => Some(stop.deadline),
        }
    }

    /// Does what is due.
    pub(super) fn on_time(&mut self, ctx: &mut StepContext<'_>) -> Due {
        match self.phase {
            Phase::Spawned => Due::Nothing,
            Phase::Executed { at } => self.not_ready_on_time(at, ctx),
            Phase::Ready { .. } => {
                self.session_on_time(ctx);
                Due::Nothing
            }
            Phase::Stopping(stop) => {
                if stop.stage == Stage::Draining && self.session_on_time(ctx) {
                    return Due::Nothing;
                }
                if stop.deadline > ctx.now || self.escalate(StopNews::TimeOver, ctx) {
                    Due::Nothing
                } else {
                    Due::Unkillable
                }
            }
        }
    }

    fn not_ready_on_time(&mut self, executed: Tick, ctx: &mut StepContext<'_>) -> Due {
        let up = ctx.now.saturating_sub(executed);
        match &ctx.policy.jobs {
            None if up >= READY_AFTER => {
                self.become_ready(executed, ctx);
                return Due::Ready;
            }
            Some(rules) if up >= rules.start_timeout => {
                self.break_off(ProtocolFault::Silence, ctx);
            }
            Some(_) if up >= SILENCE_NOTED_AFTER && ctx.contact.speech == Speech::Awaited => {
                ctx.contact.speech = Speech::Missed;
                ctx.emit(Event::StillSilent { worker: self.id });
            }
            _ => {}
        }
        Due::Nothing
    }

    /// Does what is due about its job. Returns whether it must be stopped for that, and is.
    fn session_on_time(&mut self, ctx: &mut StepContext<'_>) -> bool {
        let Some(why) = self.session.on_time(ctx) else { return false };
        // It is asked where its job took too long, and killed where it cannot be trusted.
        let is_broken = matches!(why, StopReason::Protocol(_));
        self.begin_stop(why, if is_broken { Stage::Killed } else { Stage::Asked }, ctx);
        true
    }

    fn become_ready(&mut self, executed: Tick, ctx: &mut StepContext<'_>) {
        self.phase = Phase::Ready { executed };
        ctx.emit(Event::Ready { worker: self.id });
    }

    /// Its program is executed. `None` where that cannot be.
    pub(super) fn on_executed(&mut self, pid: i32, ctx: &mut StepContext<'_>) -> Option<()> {
        match self.phase {
            Phase::Spawned => self.phase = Phase::Executed { at: ctx.now },
            Phase::Stopping(Stop { stage: Stage::Unstarted | Stage::Killed, .. }) => {
                self.escalate(StopNews::Executed, ctx);
            }
            Phase::Stopping(_) | Phase::Executed { .. } | Phase::Ready { .. } => return None,
        }
        self.session.set_pid(pid);
        ctx.contact.has_run = true;
        if let Some(memory) = &mut ctx.memory {
            memory.begin(self.id, ctx.now);
        }
        ctx.emit(Event::Started { worker: self.id, pid });
        Some(())
    }

    /// It speaks the protocol, and is ready by that. `None` where it cannot have spoken.
    pub(super) fn on_hello(
        &mut self,
        abilities: Abilities,
        ctx: &mut StepContext<'_>,
    ) -> Option<Due> {
        let due = match self.phase {
            Phase::Spawned => return None,
            Phase::Executed { at } => {
                self.session.introduce(abilities);
                self.become_ready(at, ctx);
                Due::Ready
            }
            Phase::Ready { .. } | Phase::Stopping(_) => Due::Nothing,
        };
        ctx.contact.speech = Speech::Heard;
        Some(due)
    }

    /// It answers.
    pub(super) fn on_replies(
        &mut self,
        replies: Vec<Reply>,
        memory: Option<Memory>,
        ctx: &mut StepContext<'_>,
    ) {
        let read = self.session.on_replies(replies, memory, ctx);
        self.after_replies(read, ctx);
    }

    /// It answers to a retraction.
    pub(super) fn on_retracted(
        &mut self,
        started: Option<u64>,
        replies: Vec<Reply>,
        ctx: &mut StepContext<'_>,
    ) {
        let read = self.session.on_retracted(started, replies, ctx);
        self.after_replies(read, ctx);
    }

    /// A job was not sent to it, since no frame can hold it.
    pub(super) fn on_unsendable(&mut self, id: u64, sizes: [u64; 2], ctx: &mut StepContext<'_>) {
        let read = self.session.on_unsendable(id, sizes, ctx);
        self.after_replies(read, ctx);
    }

    fn after_replies(&mut self, read: Result<(), ProtocolFault>, ctx: &mut StepContext<'_>) {
        if let Err(fault) = read {
            self.break_off(fault, ctx);
        } else if self.session.is_idle() {
            self.escalate(StopNews::Idle, ctx);
        }
    }

    /// It has closed a pipe, or is about to end.
    pub(super) fn on_closed(&mut self, pipe: Pipe, now: Tick) {
        self.session.close(pipe, now);
    }

    /// It broke the protocol: it is killed.
    pub(super) fn break_off(&mut self, fault: ProtocolFault, ctx: &mut StepContext<'_>) {
        self.session.break_off();
        self.kill_for(StopReason::Protocol(fault), ctx);
    }

    /// It holds more memory than it may, with all processes below it. A launcher's command ends
    /// for that; any other worker is killed.
    pub(super) fn on_overweight(&mut self, bytes: u64, ctx: &mut StepContext<'_>) {
        if ctx.policy.runs_commands {
            self.session.end_overweight(bytes, ctx);
        } else {
            self.session.note_overweight(bytes);
            self.kill_for(StopReason::Memory, ctx);
        }
    }

    /// It is to end for this reason. Where `drains`, it may finish the jobs that it has started.
    pub(super) fn stop(&mut self, why: StopReason, drains: bool, ctx: &mut StepContext<'_>) {
        let stage = match &mut self.phase {
            Phase::Stopping(stop) => return stop.join(why, drains, self.id, ctx),
            Phase::Spawned => Stage::Unstarted,
            Phase::Executed { .. } => Stage::Asked,
            Phase::Ready { .. } if !drains || ctx.policy.jobs.is_none() => Stage::Asked,
            Phase::Ready { .. } if self.session.is_idle() => Stage::Dismissed,
            Phase::Ready { .. } => {
                // What waits behind the running job is for other workers, or for another run.
                self.session.retract_waiting(ctx);
                Stage::Draining
            }
        };
        self.begin_stop(why, stage, ctx);
    }

    /// A user kills it. The reason why it was to end already stays the reason.
    pub(super) fn kill(&mut self, ctx: &mut StepContext<'_>) {
        match self.phase {
            Phase::Spawned => self.begin_stop(StopReason::Killed, Stage::Unstarted, ctx),
            Phase::Executed { .. } | Phase::Ready { .. } => {
                return self.begin_stop(StopReason::Killed, Stage::Killed, ctx);
            }
            Phase::Stopping(_) => {}
        }
        self.escalate(StopNews::Kill, ctx);
    }

    /// It is killed for what is held against it, whatever it does.
    fn kill_for(&mut self, why: StopReason, ctx: &mut StepContext<'_>) {
        if self.stop_under_way().is_none_or(|stop| stop.stage != Stage::Killed) {
            self.begin_stop(why, Stage::Killed, ctx);
        }
    }

    /// A user asked once more for its end.
    pub(super) fn press(&mut self, ctx: &mut StepContext<'_>) {
        self.escalate(StopNews::Pressed, ctx);
    }

    fn begin_stop(&mut self, why: StopReason, stage: Stage, ctx: &mut StepContext<'_>) {
        self.phase = Phase::Stopping(Stop::begin(why, stage, self.id, ctx));
    }

    /// Goes on with its stop, if it is being stopped. Returns false where nothing more can be
    /// done.
    fn escalate(&mut self, news: StopNews, ctx: &mut StepContext<'_>) -> bool {
        match &mut self.phase {
            Phase::Stopping(stop) => stop.escalate(news, self.id, ctx),
            Phase::Spawned | Phase::Executed { .. } | Phase::Ready { .. } => true,
        }
    }
}

/// The next thing due about a worker that is executed and not ready, counted from its execution.
fn ready_within(rules: Option<&JobRules>, contact: Contact) -> Duration {
    match (rules, contact.speech) {
        (None, _) => READY_AFTER,
        (Some(rules), Speech::Awaited) => rules.start_timeout.min(SILENCE_NOTED_AFTER),
        (Some(rules), Speech::Missed | Speech::Heard) => rules.start_timeout,
    }
}
