//! What if a job takes too long, or its command holds too much? It is looked at, and then it is to
//! end: by itself where it hears that, or with its worker.

use std::time::Duration;

use super::{
    super::{
        Action, Cancelled, Tick,
        ledger::{JobKey, Ledger},
        slot::Turn,
    },
    Work,
};
use crate::{
    event::WorkerId,
    exit::{ProtocolFault, StopReason},
    hang::Hang,
    rules::JobRules,
};

impl Work {
    /// When something is due about the job it runs, or about its silence.
    pub(in super::super) fn deadline(&self, rules: &JobRules) -> Option<Tick> {
        if let Some((_, gone_by)) = self.closed {
            return Some(gone_by);
        }
        let timeout = rules.timeout.filter(|_| !self.window.is_empty());
        let part = if self.is_examined { 1 } else { 2 };
        let limit = self.overdue.or(timeout.map(|timeout| self.head_since + timeout / part));
        limit.into_iter().chain(self.recall_due()).min()
    }

    /// Does what is due about the job it runs; why the worker must be ended, where nothing else
    /// helps.
    pub(in super::super) fn on_time(
        &mut self,
        worker: WorkerId,
        turn: &mut Turn<'_>,
    ) -> Option<StopReason> {
        if let Some((pipe, gone_by)) = self.closed {
            let closed = StopReason::Protocol(ProtocolFault::Closed(pipe));
            return (gone_by <= turn.now).then_some(closed);
        }
        let rules = turn.policy.jobs.as_ref()?;
        self.recall_on_time(worker, turn);
        let head = self.window.front().copied()?;
        let id = turn.ledger.id(head);
        let timeout = rules.timeout.filter(|_| self.overdue.is_none());
        let is_over = |part| timeout.is_some_and(|all| self.head_since + all / part <= turn.now);
        if is_over(1) {
            turn.actions.push(Action::Examine { worker, id, is_over: true });
            let cancels = self.abilities.cancels;
            let patience = if cancels { turn.policy.grace } else { Duration::ZERO };
            self.overdue = Some(turn.now + patience);
            if cancels {
                turn.actions.push(Action::Cancel { worker, id, why: Cancelled::Timeout });
            }
        } else if is_over(2) && !self.is_examined {
            self.is_examined = true;
            turn.actions.push(Action::Examine { worker, id, is_over: false });
        }
        let why = if self.is_cancelled { StopReason::Cancelled } else { StopReason::Timeout };
        self.overdue.filter(|until| *until <= turn.now).map(|_| why)
    }

    /// If it runs this job, that is to end as if its time were over; if it was sent it and has not
    /// begun, it is asked back.
    pub(in super::super) fn cancel(
        &mut self,
        worker: WorkerId,
        key: JobKey,
        at_once: bool,
        turn: &mut Turn<'_>,
    ) {
        if self.window.front() == Some(&key) {
            let cancels = self.abilities.cancels;
            let patience = if cancels && !at_once { turn.policy.grace } else { Duration::ZERO };
            if cancels && !self.is_cancelled {
                let (id, why) = (turn.ledger.id(key), Cancelled::Asked);
                turn.actions.push(Action::Cancel { worker, id, why });
            }
            self.is_cancelled = true;
            let until = turn.now + patience;
            self.overdue = Some(self.overdue.map_or(until, |before| before.min(until)));
        } else if self.window.contains(&key) {
            self.ask_back(worker, turn);
        }
    }

    /// The first in the window begins about now.
    pub(super) fn begin_head(&mut self, now: Tick) {
        self.head_since = now;
        (self.is_examined, self.hang, self.overweight) = (false, None, None);
        self.is_cancelled = false;
    }

    /// What this job did was seen.
    pub(in super::super) fn examined(&mut self, id: u64, hang: Box<Hang>, ledger: &Ledger) {
        if self.window.front().is_some_and(|head| ledger.id(*head) == id) {
            self.hang = Some(hang);
        }
    }

    /// It holds so many bytes, which is too much.
    pub(in super::super) fn weighs(&mut self, bytes: u64) {
        self.overweight = self.overweight.max(Some(bytes));
    }

    /// How many it was seen to hold, where that was too much.
    pub(in super::super) fn overweight(&self) -> Option<u64> {
        self.overweight
    }

    /// So the command that it runs is to end; where it runs none, what is left of one is about to.
    pub(in super::super) fn end_overweight(
        &mut self,
        worker: WorkerId,
        bytes: u64,
        turn: &mut Turn<'_>,
    ) {
        if let Some(head) = self.window.front() {
            let (id, why) = (turn.ledger.id(*head), Cancelled::Memory);
            turn.actions.push(Action::Cancel { worker, id, why });
            self.weighs(bytes);
        }
    }
}
