//! Does the simulation find the bugs it is there to find? Each of these is planted in the pool
//! for one thread, and found.

use std::cell::Cell;

use super::holds;
use crate::{
    decide::{
        Answer, Left, Reply,
        ledger::{JobKey, Ledger},
    },
    exit::Evidence,
};

/// A mistake that the pool can be made to make.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::decide) enum Bug {
    /// A death charges all the worker had in hand.
    ChargesAll,
    /// What a worker left when it died is not looked at.
    DropsTail,
    /// A worker that ends with code 0 is taken to have done its job.
    EndIsDone,
    /// A job is charged for what an operator did to its worker.
    ChargesOperator,
    /// Recalled jobs are not declared forgotten.
    NeverResumes,
    /// A worker that was recalled is sent more, behind the job it has.
    SendsBehind,
    /// A worker that had started nothing is sent jobs like any other.
    TrustsSleepers,
    /// What a worker says behind a breach of the protocol counts.
    TrustsLiars,
}

const SEEDS_MAX: u64 = 20_000;

thread_local! {
    static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
}

/// Whether this bug is planted in this thread.
pub(in crate::decide) fn planted(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// What a worker left, as a bug would have it.
pub(in crate::decide) fn tampered(
    mut left: Left,
    evidence: Option<&Evidence>,
    mut window: impl Iterator<Item = JobKey>,
    ledger: &Ledger,
) -> Left {
    if planted(Bug::DropsTail) {
        left.replies.clear();
    }
    let ended_well = evidence.is_some_and(|evidence| evidence.status.is_success());
    if planted(Bug::EndIsDone)
        && ended_well
        && let Some(key) = window.nth(left.replies.len())
    {
        let order = ledger.order(key);
        let answer = Answer::Done(order.payload);
        let (id, attempt) = (order.id, order.attempt);
        left.replies.push(Reply { id, attempt, service_ns: 0, answer });
    }
    left
}

fn is_found(bug: Bug) -> bool {
    PLANTED.set(Some(bug));
    let found = (0..SEEDS_MAX).any(|seed| !holds(seed));
    PLANTED.set(None);
    found
}

#[test]
fn planted_bugs_are_found() {
    for bug in [
        Bug::ChargesAll,
        Bug::DropsTail,
        Bug::EndIsDone,
        Bug::ChargesOperator,
        Bug::NeverResumes,
        Bug::SendsBehind,
        Bug::TrustsSleepers,
        Bug::TrustsLiars,
    ] {
        assert!(is_found(bug), "{bug:?} is not found");
    }
}
