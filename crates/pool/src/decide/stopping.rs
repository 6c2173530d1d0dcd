//! The stop ladder: how a worker is brought to its end.
//!
//! A worker that takes jobs finishes the one that it runs and is dismissed. Any other is asked by
//! a signal, and killed when its grace period is over. What the kernel holds even then is waited
//! for no longer.
//!
//! | stage | its time is over, or the stop is pressed | idle | executed | no time left | kill |
//! |---|---|---|---|---|---|
//! | `Unstarted` | `Killed` | | `Asked` | | `Killed` |
//! | `Draining` | `Asked` | `Dismissed` | | `Asked` | `Killed` |
//! | `Dismissed` | `Asked` | | | `Asked` | `Killed` |
//! | `Asked` | `Killed` | | | | `Killed` |
//! | `Killed` | unkillable; pressed: nothing | | | | |

use std::time::Duration;

use super::{action::Action, context::StepContext, input::Tick};
use crate::{
    event::{Event, WorkerId},
    exit::{Asked, StopReason},
};

/// A killed process that is still there after this long is held by the kernel, perhaps for ever.
const UNKILLABLE_AFTER: Duration = Duration::from_secs(2);
/// A worker that is still there this long after it was dismissed does not listen.
const DEAF_AFTER: Duration = Duration::from_secs(2);
/// A century: the time of a worker that may drain for as long as it likes.
const UNLIMITED: Duration = Duration::from_secs(100 * 366 * 86_400);

/// A worker's way to its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) why: StopReason,
    pub(super) stage: Stage,
    /// When the next stage begins.
    pub(super) deadline: Tick,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Its program is not executed yet, so it would not hear a signal.
    Unstarted,
    /// It finishes the jobs that it has started.
    Draining,
    /// It was sent the end of its jobs.
    Dismissed,
    /// It was sent the stop signal.
    Asked,
    /// It was sent SIGKILL.
    Killed,
}

/// What happens to a worker that is being stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum StopNews {
    /// The time of its stage is over.
    TimeOver,
    /// A user asked once more.
    Pressed,
    /// It has nothing left to finish.
    Idle,
    /// Its program is executed now.
    Executed,
    /// It is to stop for another reason, which leaves its jobs no time.
    NoTime,
    /// It is to be killed at once.
    Kill,
}

/// What follows from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Escalation {
    Stay,
    To(Stage),
    /// Nothing more can be done: the kernel holds the process.
    Unkillable,
}

impl Stage {
    /// The stop ladder, as a whole.
    pub(super) fn after(self, news: StopNews) -> Escalation {
        use Escalation::{Stay, To, Unkillable};
        use StopNews::{Executed, Idle, Kill, NoTime, Pressed, TimeOver};
        match (self, news) {
            (Self::Killed, TimeOver) => Unkillable,
            (Self::Killed, _) => Stay,
            (_, Kill) => To(Self::Killed),
            (Self::Unstarted | Self::Asked, TimeOver | Pressed) => To(Self::Killed),
            (Self::Draining | Self::Dismissed, TimeOver | Pressed | NoTime) => To(Self::Asked),
            (Self::Draining, Idle) => To(Self::Dismissed),
            (Self::Unstarted, Executed) => To(Self::Asked),
            (Self::Unstarted | Self::Asked, Idle | NoTime)
            | (Self::Dismissed, Idle)
            | (Self::Draining | Self::Dismissed | Self::Asked, Executed) => Stay,
        }
    }

    /// How long a worker may stay at this stage.
    fn time(self, ctx: &StepContext<'_>) -> Duration {
        match self {
            // Nobody waits for it: its jobs have all the time that they may take.
            Self::Draining if !ctx.is_urgent => UNLIMITED,
            Self::Unstarted | Self::Draining | Self::Asked => ctx.policy.grace,
            Self::Dismissed => DEAF_AFTER,
            Self::Killed => UNKILLABLE_AFTER,
        }
    }

    fn action(self, worker: WorkerId) -> Option<Action> {
        match self {
            Self::Unstarted => Some(Action::Withdraw(worker)),
            Self::Draining => None,
            Self::Dismissed => Some(Action::Dismiss(worker)),
            Self::Asked => Some(Action::Ask(worker)),
            Self::Killed => Some(Action::Kill(worker)),
        }
    }
}

impl Stop {
    /// Decides to stop a worker, beginning at this stage.
    pub(super) fn begin(
        why: StopReason,
        stage: Stage,
        worker: WorkerId,
        ctx: &mut StepContext<'_>,
    ) -> Self {
        ctx.emit(Event::Stopping { worker, why, kill: stage == Stage::Killed });
        Self::enter(why, stage, worker, ctx)
    }

    /// Goes on as the ladder says. Returns false where nothing more can be done.
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

    /// The worker is to stop for another reason too, and perhaps sooner.
    pub(super) fn join(
        &mut self,
        why: StopReason,
        drains: bool,
        worker: WorkerId,
        ctx: &mut StepContext<'_>,
    ) {
        // What is held against the worker stays the reason of its end.
        if !self.why.is_charge() {
            self.why = why;
        }
        if !drains {
            self.escalate(StopNews::NoTime, worker, ctx);
        } else if self.stage == Stage::Draining {
            self.deadline = self.deadline.min(ctx.now + self.stage.time(ctx));
        }
    }

    /// What was asked of the worker so far; `None` at the first stages, where nothing was.
    pub(super) fn asked(self) -> Option<Asked> {
        match self.stage {
            Stage::Unstarted | Stage::Draining => None,
            Stage::Dismissed | Stage::Asked | Stage::Killed => Some(self.as_asked()),
        }
    }

    /// Why the worker is stopped, and whether it was killed.
    pub(super) fn as_asked(self) -> Asked {
        Asked { why: self.why, killed: self.stage == Stage::Killed }
    }

    fn enter(why: StopReason, stage: Stage, worker: WorkerId, ctx: &mut StepContext<'_>) -> Self {
        ctx.actions.list.extend(stage.action(worker));
        Self { why, stage, deadline: ctx.now + stage.time(ctx) }
    }
}

/// Whether a worker that was stopped for this makes way for another, which is no restart.
pub(super) fn is_replaced_at_once(why: StopReason) -> bool {
    match why {
        StopReason::Roll
        | StopReason::Recycle
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
