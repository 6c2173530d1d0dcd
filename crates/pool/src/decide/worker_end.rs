//! The end of a worker: judges why its process ended, and requeues or charges the jobs that it had
//! in flight.

use super::{
    context::{Speech, StepContext},
    input::Remains,
    policy::Policy,
    stopping::Stop,
    verdict::{self, Circumstances},
    worker::{Worker, WorkerPhase},
};
use crate::{
    event::WorkerId,
    exit::{Cause, Evidence, ProcessEnd, StopReason},
};

/// The end of a worker's process, as the executor reports it.
pub(super) struct End {
    pub(super) pid: Option<i32>,
    pub(super) end: ProcessEnd,
    pub(super) remains: Remains,
}

/// The end of a worker, as the pool judges it.
pub(super) struct Died {
    pub(super) worker: WorkerId,
    pub(super) pid: Option<i32>,
    pub(super) end: ProcessEnd,
    pub(super) cause: Cause,
    pub(super) phase: WorkerPhase,
    /// Whether it ever answered a job, or was running one when it died.
    pub(super) has_worked: bool,
}

impl Worker {
    /// Judges why its process ended, and ends the attempts that it had in flight.
    pub(super) fn end(self, mut end: End, ctx: &mut StepContext<'_>) -> Died {
        let Self { id: worker, phase, session } = self;
        if let Some(memory) = &mut ctx.memory {
            memory.end(worker);
        }
        if end.remains.spoke {
            // The hello of a worker that ended at once may have been read only after its end.
            ctx.contact.speech = Speech::Heard;
        }
        if let (Some(bytes), ProcessEnd::Ended(evidence)) = (session.overweight(), &mut end.end) {
            evidence.peak.raise(bytes);
        }
        let cause = judge(&end, phase, ctx.policy);
        let evidence: Option<&Evidence> = end.end.evidence();
        let has_worked = session.on_death(cause, evidence, end.remains, ctx);
        Died { worker, pid: end.pid, end: end.end, cause, phase, has_worked }
    }

    /// Ends the attempts in flight of a worker that was killed and that the kernel cannot end yet.
    /// Returns why it was stopped.
    pub(super) fn abandon(self, ctx: &mut StepContext<'_>) -> Option<StopReason> {
        let stop = self.stop_under_way()?;
        if let Some(memory) = &mut ctx.memory {
            memory.end(self.id);
        }
        let cause = verdict::of_asked(stop.as_asked());
        self.session.on_death(cause, None, Remains::default(), ctx);
        Some(stop.why)
    }
}

/// Judges the end of a worker that was in this phase.
fn judge(end: &End, phase: WorkerPhase, policy: &Policy) -> Cause {
    let stop = match phase {
        WorkerPhase::Stopping(stop) => Some(stop),
        WorkerPhase::Spawned | WorkerPhase::Executed { .. } | WorkerPhase::Ready { .. } => None,
    };
    let asked = stop.and_then(Stop::asked);
    match (&end.end, asked) {
        (ProcessEnd::Ended(evidence), _) => {
            let (limits, stop_signal) = (&policy.limits, policy.stop_signal);
            let cause = verdict::cause(evidence, Circumstances { limits, stop_signal, asked });
            match (cause, end.remains.broken) {
                // It exited by itself after it broke the protocol, which is the better explanation.
                (Cause::Exit, Some(fault)) => Cause::Protocol(fault),
                (cause, _) => cause,
            }
        }
        // The signal that ended the exec helper was meant for the program.
        (ProcessEnd::NeverStarted(_), Some(asked)) if asked.killed => verdict::of_asked(asked),
        (ProcessEnd::NeverStarted(fault), _) => Cause::CouldNotStart(*fault),
        (ProcessEnd::Withdrawn, _) => {
            stop.map_or(Cause::Unobserved, |stop| verdict::of_asked(stop.as_asked()))
        }
        (ProcessEnd::Unobserved { .. }, Some(asked)) => verdict::of_asked(asked),
        (ProcessEnd::Unobserved { .. }, None) => Cause::Unobserved,
    }
}
