//! Tests the simulator itself: each of these bugs is planted in simulated worlds, and the checks
//! must find it.
//!
//! The product code does not contain the bugs. They are planted from outside: by changing an input
//! before the pool gets it, the pool's state between two steps, or an action of the pool.

use std::time::Duration;

use super::{ends::evidence, process::Process};
use crate::{
    decide::{
        action::Action,
        input::{Answer, Input, News, Reply},
        pool::Pool,
        session::{Link, Session, retraction::Retraction},
        slot::Slot,
    },
    event::{Again, Event, WorkerId},
    exit::{Cause, Evidence, ProcessEnd, StartFault, StartStep, Status},
    job::{Attempt, AttemptEnd, Death, Payload},
    rules::Repeats,
    signal::Signal,
};

/// A bug that the simulator can plant in the pool.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Bug {
    /// A death charges all jobs in flight.
    ChargesAll,
    /// Replies that a worker left when it died are dropped.
    DropsTail,
    /// A job counts as done when its worker ends with code 0.
    EndIsDone,
    /// A job is charged when a user kills its worker.
    ChargesOperator,
    /// A job is charged for an end that was not observed.
    ChargesUnobserved,
    /// A withdrawn start counts as a failed one.
    FaultsWithdrawn,
    /// A job that was not sent counts in the worker's sequence of jobs.
    CountsUnsent,
    /// No resume frame is sent after a retraction.
    NeverResumes,
    /// A worker whose jobs were retracted is sent more, behind the job that it runs.
    SendsBehind,
    /// A worker that is asleep is sent jobs like any other.
    TrustsSleepers,
    /// Messages of a worker count even after it broke the protocol.
    TrustsLiars,
    /// A pause ends by itself.
    ForgetsPause,
    /// A job that kills its workers before they begin it is requeued without limit.
    ReturnsForever,
    /// A worker that fails one job after another is kept.
    KeepsFailing,
    /// Workers are replaced for their failures even if every job fails everywhere.
    PunishesAll,
    /// A job that failed is retried in any worker, also in the one in which it failed.
    RetriesInPlace,
    /// A failed start for want of resources counts as a crash.
    CountsShortage,
    /// A slot that was given up is not started again.
    StaysGivenUp,
    /// Time without a processor counts when a worker starts.
    CountsStarved,
    /// A job that may be begun only once is run again after an end that was not its fault.
    Repeats,
    /// A worker that has reached its limit of memory is sent more jobs.
    FeedsLarge,
}

pub(super) const ALL: [Bug; 21] = [
    Bug::ChargesAll,
    Bug::DropsTail,
    Bug::EndIsDone,
    Bug::ChargesOperator,
    Bug::ChargesUnobserved,
    Bug::FaultsWithdrawn,
    Bug::CountsUnsent,
    Bug::NeverResumes,
    Bug::SendsBehind,
    Bug::TrustsSleepers,
    Bug::TrustsLiars,
    Bug::ForgetsPause,
    Bug::ReturnsForever,
    Bug::KeepsFailing,
    Bug::PunishesAll,
    Bug::RetriesInPlace,
    Bug::CountsShortage,
    Bug::StaysGivenUp,
    Bug::CountsStarved,
    Bug::Repeats,
    Bug::FeedsLarge,
];

impl Bug {
    /// The input that the pool gets instead of the real one.
    pub(super) fn misheard(self, mut input: Input, dying: Option<&Process>) -> Input {
        match (self, &mut input) {
            (Self::StaysGivenUp, Input::StartSlot(_)) => return Input::Timer,
            (Self::CountsStarved, Input::StartExamined { unserved, .. }) => {
                *unserved = Duration::ZERO;
            }
            _ => {}
        }
        let Input::Worker { news: News::Ended { end, remains, .. }, .. } = &mut input else {
            return input;
        };
        match self {
            Self::CountsShortage => {
                if let ProcessEnd::NeverStarted(fault) = end {
                    fault.errno = crate::errno::ENOENT;
                }
            }
            Self::DropsTail => remains.replies.clear(),
            Self::EndIsDone if ended_well(end) => {
                let head = dying.and_then(|process| process.line.front());
                remains.replies.extend(head.map(|head| Reply {
                    id: head.id,
                    attempt: head.attempt,
                    service_ns: 0,
                    answer: Answer::Done(Payload::copy(b"done")),
                }));
            }
            Self::ChargesOperator => {
                let was_left_alone = |process: &Process| {
                    process.asked.is_none() && !process.killed && !process.dismissed
                };
                if let ProcessEnd::Ended(Evidence { status: Status::Signal { signal, .. }, .. }) =
                    end
                    && !signal.is_own_fault()
                    && dying.is_some_and(was_left_alone)
                {
                    *signal = Signal::SEGV;
                }
            }
            Self::ChargesUnobserved if matches!(end, ProcessEnd::Unobserved { .. }) => {
                *end = ProcessEnd::Ended(evidence(Status::Code(1)));
            }
            Self::FaultsWithdrawn if *end == ProcessEnd::Withdrawn => {
                let fault = StartFault { step: StartStep::Spawn, errno: 0 };
                *end = ProcessEnd::NeverStarted(fault);
            }
            _ => {}
        }
        input
    }

    /// Corrupts the pool's state after a step.
    pub(super) fn forget(self, pool: &mut Pool, unsent: Option<WorkerId>) {
        pool.is_paused &= self != Self::ForgetsPause;
        match self {
            Self::ReturnsForever => pool.ledger.forget_unbegun(),
            Self::Repeats => {
                if let Some(rules) = &mut pool.policy.jobs {
                    rules.repeats = Repeats::Allowed;
                }
            }
            Self::PunishesAll => pool.health.forget_vain(),
            Self::RetriesInPlace => pool.ledger.forget_failed(),
            _ => {}
        }
        let workers = pool.slots.iter_mut().flat_map(Slot::workers_mut);
        workers.for_each(|worker| {
            let is_unsent = unsent == Some(worker.id);
            self.forget_of(&mut worker.session, is_unsent);
        });
    }

    fn forget_of(self, session: &mut Session, is_unsent: bool) {
        match (self, session.retraction) {
            (Self::SendsBehind, Retraction::Answered | Retraction::Resumed { .. }) => {
                session.retraction = Retraction::Off;
            }
            (Self::FeedsLarge, _) => session.forget_size(),
            (Self::KeepsFailing, _) => session.forget_failures(),
            (Self::TrustsSleepers, _) => session.retraction.forget_sleep(),
            (Self::TrustsLiars, _) if session.link == Link::Broken => session.link = Link::Open,
            (Self::CountsUnsent, _) if is_unsent => session.miscount(),
            _ => {}
        }
    }

    /// Changes an action of the pool, while a worker is dying. `tried` is the number of earlier
    /// attempts of the job.
    pub(super) fn misdecided(self, action: &mut Action, dying: Option<WorkerId>, tried: usize) {
        match (self, &mut *action, dying) {
            (Self::NeverResumes, Action::Send { resume, orders, .. }, _) => {
                *resume &= orders.is_empty();
            }
            (Self::ChargesAll, Action::Requeued { id }, Some(worker)) => {
                *action = charge(*id, worker, tried);
            }
            _ => {}
        }
    }
}

fn ended_well(end: &ProcessEnd) -> bool {
    end.evidence().is_some_and(|evidence| evidence.status.is_success())
}

fn charge(id: u64, worker: WorkerId, tried: usize) -> Action {
    let number = u32::try_from(tried + 1).unwrap();
    let (cause, evidence, last_output) = (Cause::Exit, None, Vec::new());
    let death = Death { cause, evidence, last_output };
    let attempt = Attempt {
        number,
        worker,
        pid: 7,
        began: Duration::ZERO,
        took: Duration::ZERO,
        peak_bytes: None,
        hang: None,
        end: AttemptEnd::Crashed(Box::new(death)),
    };
    Action::Emit(Event::Retried { id, attempt, again: Again::Alone })
}
