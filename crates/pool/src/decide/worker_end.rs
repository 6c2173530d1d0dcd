//! The end of a worker: why its process ended, and what becomes of the jobs that it had in flight.

use super::{
    context::{Speech, StepContext},
    input::Left,
    policy::Policy,
    stopping::Stop,
    verdict::{self, Circumstances},
    worker::{Phase, Worker},
};
use crate::{
    event::WorkerId,
    exit::{Cause, Evidence, ProcessEnd, StopReason},
};

/// The end of a worker's process, as the executor reports it.
pub(super) struct End {
    pub(super) pid: Option<i32>,
    pub(super) end: ProcessEnd,
    pub(super) left: Left,
}

/// The end of a worker, as the pool judges it.
pub(super) struct Died {
    pub(super) worker: WorkerId,
    pub(super) pid: Option<i32>,
    pub(super) end: ProcessEnd,
    pub(super) cause: Cause,
    pub(super) phase: Phase,
    /// It ever did a job, or died of one.
    pub(super) has_worked: bool,
}

impl Worker {
    /// Its process is gone. Judges why, and files what it had in flight.
    pub(super) fn end(self, mut end: End, ctx: &mut StepContext<'_>) -> Died {
        let Self { id: worker, phase, session } = self;
        if let Some(memory) = &mut ctx.memory {
            memory.end(worker);
        }
        if end.left.spoke {
            // A worker that ends at once may have said no more than its hello.
            ctx.contact.speech = Speech::Heard;
        }
        if let (Some(bytes), ProcessEnd::Ended(evidence)) = (session.overweight(), &mut end.end) {
            evidence.peak.raise(bytes);
        }
        let cause = judge(&end, phase, ctx.policy);
        let evidence: Option<&Evidence> = end.end.evidence();
        let has_worked = session.on_death(cause, evidence, end.left, ctx);
        Died { worker, pid: end.pid, end: end.end, cause, phase, has_worked }
    }

    /// It was killed, and the kernel holds it: what it had in flight is over all the same.
    pub(super) fn abandon(self, ctx: &mut StepContext<'_>) -> Option<StopReason> {
        let stop = self.stop_under_way()?;
        if let Some(memory) = &mut ctx.memory {
            memory.end(self.id);
        }
        let cause = verdict::of_asked(stop.as_asked());
        self.session.on_death(cause, None, Left::default(), ctx);
        Some(stop.why)
    }
}

/// Why a worker ended that was in this phase.
fn judge(end: &End, phase: Phase, policy: &Policy) -> Cause {
    let stop = match phase {
        Phase::Stopping(stop) => Some(stop),
        Phase::Spawned | Phase::Executed { .. } | Phase::Ready { .. } => None,
    };
    let asked = stop.and_then(Stop::asked);
    match (&end.end, asked) {
        (ProcessEnd::Ended(evidence), _) => {
            let (limits, stop_signal) = (&policy.limits, policy.stop_signal);
            let cause = verdict::cause(evidence, Circumstances { limits, stop_signal, asked });
            match (cause, end.left.broken) {
                // It ended by itself, and what it said before explains more.
                (Cause::Exit, Some(fault)) => Cause::Protocol(fault),
                (cause, _) => cause,
            }
        }
        // What ended the exec helper was meant for the program.
        (ProcessEnd::NeverStarted(_), Some(asked)) if asked.killed => verdict::of_asked(asked),
        (ProcessEnd::NeverStarted(fault), _) => Cause::CouldNotStart(*fault),
        (ProcessEnd::Withdrawn, _) => {
            stop.map_or(Cause::Unobserved, |stop| verdict::of_asked(stop.as_asked()))
        }
        (ProcessEnd::Unobserved { .. }, Some(asked)) => verdict::of_asked(asked),
        (ProcessEnd::Unobserved { .. }, None) => Cause::Unobserved,
    }
}
