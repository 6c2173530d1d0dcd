//! The stages of stopping a worker.
//!
//! A worker that takes jobs drains: it finishes the job that it runs. Then it is dismissed: the
//! supervisor sends it the end of its jobs, at which it exits. Any other worker is signalled: it
//! gets the stop signal. It is killed with SIGKILL when the grace period is over. If the kernel
//! cannot end the process even then, it is unkillable, and the supervisor stops waiting for it.
//!
//! A user who repeats a request to stop presses: every worker goes on to its next stage. Before its
//! program is executed, a worker would miss a signal, so its start is withdrawn instead.
//!
//! | stage | time over, or pressed | idle | executed | no time left | kill |
//! |---|---|---|---|---|---|
//! | `Unstarted` | `Killed` | | `Signalled` | | `Killed` |
//! | `Draining` | `Signalled` | `Dismissed` | | `Signalled` | `Killed` |
//! | `Dismissed` | `Signalled` | | | `Signalled` | `Killed` |
//! | `Signalled` | `Killed` | | | | `Killed` |
//! | `Killed` | unkillable; pressed: nothing | | | | |

use std::time::Duration;

use super::{action::Action, context::StepContext, input::Tick, shutdown::Urgency};
use crate::{
    event::{Event, WorkerId},
    exit::{StopReason, StopRequest},
};

/// A process that still exists this long after SIGKILL counts as unkillable.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(2);
/// A worker that still runs this long after it was dismissed gets the stop signal.
const DEAF_AFTER: Duration = Duration::from_secs(2);
/// A century: the time limit of a worker that may drain without a limit.
const UNLIMITED: Duration = Duration::from_secs(100 * 366 * 86_400);

/// The stop of a worker that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) why: StopReason,
    pub(super) stage: Stage,
    /// When the next stage begins.
    pub(super) deadline: Tick,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its start was withdrawn: its program is not executed yet, so a signal would be lost.
    Unstarted,
    /// It finishes the job that it runs.
    Draining,
    /// It was sent the end of its jobs.
    Dismissed,
    /// It was sent the stop signal.
    Signalled,
    /// It was sent SIGKILL.
    Killed,
}

/// What happens to a worker that is being stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopNews {
    /// The time limit of its stage is over.
    TimeOver,
    /// A user repeated the request to stop.
    Pressed,
    /// It has no jobs in flight.
    Idle,
    /// Its program was executed.
    Executed,
    /// There is another reason to stop it, which leaves its jobs no time.
    NoTime,
    /// A user kills it.
    Kill,
}

/// The effect of [`StopNews`] on a stop.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Escalation {
    Stay,
    To(Stage),
    /// No stage is left: the kernel cannot end the process yet.
    Unkillable,
}

impl Stage {
    /// The table in the module documentation.
    pub(super) fn after(self, news: StopNews) -> Escalation {
        use Escalation::{Stay, To, Unkillable};
        use StopNews::{Executed, Idle, Kill, NoTime, Pressed, TimeOver};
        match (self, news) {
            (Self::Killed, TimeOver) => Unkillable,
            (Self::Killed, _) => Stay,
            (_, Kill) => To(Self::Killed),
            (Self::Unstarted | Self::Signalled, TimeOver | Pressed) => To(Self::Killed),
            (Self::Draining | Self::Dismissed, TimeOver | Pressed | NoTime) => To(Self::Signalled),
            (Self::Draining, Idle) => To(Self::Dismissed),
            (Self::Unstarted, Executed) => To(Self::Signalled),
            (Self::Unstarted | Self::Signalled, Idle | NoTime)
            | (Self::Dismissed, Idle)
            | (Self::Draining | Self::Dismissed | Self::Signalled, Executed) => Stay,
        }
    }

    /// How long a worker may stay at this stage.
    fn time(self, ctx: &StepContext<'_>) -> Duration {
        match self {
            // Nothing waits for the worker, so only the time limit of its job applies.
            Self::Draining if ctx.urgency == Urgency::None => UNLIMITED,
            Self::Unstarted | Self::Draining | Self::Signalled => ctx.policy.grace,
            Self::Dismissed => DEAF_AFTER,
            Self::Killed => UNKILLABLE_AFTER,
        }
    }

    fn action(self, worker: WorkerId) -> Option<Action> {
        match self {
            Self::Unstarted => Some(Action::Withdraw(worker)),
            Self::Draining => None,
            Self::Dismissed => Some(Action::Dismiss(worker)),
            Self::Signalled => Some(Action::Ask(worker)),
            Self::Killed => Some(Action::Kill(worker)),
        }
    }
}

impl Stop {
    /// Begins to stop a worker, at this stage.
    pub(super) fn begin(
        why: StopReason,
        stage: Stage,
        worker: WorkerId,
        ctx: &mut StepContext<'_>,
    ) -> Self {
        ctx.emit(Event::Stopping { worker, why, kill: stage == Stage::Killed });
        Self::enter(why, stage, worker, ctx)
    }

    /// Moves to the next stage, if the news demands it. Returns false if the process is unkillable.
    pub(super) fn escalate(
        &mut self,
        news: StopNews,
        worker: WorkerId,
        ctx: &mut StepContext<'_>,
    ) -> bool {
        match (self.stage.after(news), news) {
            (Escalation::Stay, _) => {}
            (Escalation::To(stage), StopNews::Executed) => {
                // The grace period counts from the decision.
                self.stage = stage;
                ctx.actions.list.extend(stage.action(worker));
            }
            (Escalation::To(Stage::Killed), _) => {
                *self = Self::begin(self.why, Stage::Killed, worker, ctx);
            }
            (Escalation::To(stage), _) => *self = Self::enter(self.why, stage, worker, ctx),
            (Escalation::Unkillable, _) => {
                ctx.emit(Event::Unkillable { worker });
                return false;
            }
        }
        true
    }

    /// Adds another reason to stop the worker, which may leave it less time.
    pub(super) fn join(&mut self, why: StopReason, worker: WorkerId, ctx: &mut StepContext<'_>) {
        // A reason for which the worker is to blame is not replaced by another one.
        if !self.why.is_charge() {
            self.why = why;
        }
        if ctx.urgency == Urgency::Now {
            self.escalate(StopNews::NoTime, worker, ctx);
        } else if self.stage == Stage::Draining {
            self.deadline = self.deadline.min(ctx.now + self.stage.time(ctx));
        }
    }

    /// The request that the worker has received; `None` at the stages before it receives one.
    pub(super) fn asked(self) -> Option<StopRequest> {
        match self.stage {
            Stage::Unstarted | Stage::Draining => None,
            Stage::Dismissed | Stage::Signalled | Stage::Killed => Some(self.as_asked()),
        }
    }

    /// Why the worker is stopped, and whether it was killed.
    pub(super) fn as_asked(self) -> StopRequest {
        StopRequest { why: self.why, killed: self.stage == Stage::Killed }
    }

    fn enter(why: StopReason, stage: Stage, worker: WorkerId, ctx: &mut StepContext<'_>) -> Self {
        ctx.actions.list.extend(stage.action(worker));
        Self { why, stage, deadline: ctx.now + stage.time(ctx) }
    }
}

/// Whether a worker that was stopped for this reason is replaced at once, without counting as a
/// restart.
pub(super) fn is_replaced_at_once(why: StopReason) -> bool {
    match why {
        StopReason::Roll
        | StopReason::Recycle
        | StopReason::Failing
        | StopReason::IsolatedRetry
        | StopReason::Cancelled
        | StopReason::Timeout => true,
        StopReason::Shutdown
        | StopReason::Finished
        | StopReason::Killed
        | StopReason::Scale
        | StopReason::Memory
        | StopReason::Protocol(_) => false,
    }
}
