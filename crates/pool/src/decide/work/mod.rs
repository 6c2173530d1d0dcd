//! What has one worker in hand? The jobs it was sent and has not answered, in the order it does
//! them, and which of them it runs.

mod blame;
mod overrun;
mod recall;

use std::{collections::VecDeque, time::Duration};

use self::recall::{Asleep, Recall};
#[cfg(test)]
use super::sim::bugs::{Bug, planted};
use super::{
    Action, Order, Tick,
    depth::Adaptive,
    ledger::JobKey,
    slot::Turn,
    step::{Abilities, Answer, Memory, Reply},
    verdict,
};
use crate::{
    event::WorkerId,
    exit::{Asked, Cause, Pipe, ProtocolFault, StopReason},
    hang::Hang,
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, Payload},
    rules::JobRules,
};

/// A worker that dies closes its pipes a moment before it is gone; one that is still there after
/// this long has closed them and lives on.
const GONE_AFTER: Duration = Duration::from_secs(1);
/// A second reply is known for one if no more jobs than these were answered since the first.
const LATELY: usize = 16;
/// Beyond this many bytes nothing is sent ahead.
const AHEAD_BYTES_MAX: usize = 2 << 20;

/// Why a job ends that nobody wants any more.
const CANCELLED: Asked = Asked { why: StopReason::Cancelled, killed: false };

/// The jobs of one worker's life.
#[derive(Debug, Default)]
pub(super) struct Work {
    pid: i32,
    abilities: Abilities,
    /// Sent and not answered, in order. The first one runs, or is about to.
    window: VecDeque<JobKey>,
    window_bytes: usize,
    depth: Adaptive,
    /// Jobs sent in this life.
    sent: u64,
    /// The last in the window is the how-many-th of them; those before it in the window bear
    /// the numbers before that.
    last: u64,
    /// The last that was answered is the how-many-th of them.
    done: u64,
    answered: u64,
    /// How many of these do not count, since it was not replaced after them.
    spared: u64,
    /// The last jobs that it answered, and which try of each.
    lately: VecDeque<(u64, u32)>,
    /// It broke the protocol: nothing that it says since then counts.
    is_broken: bool,
    /// Since when the first in the window runs, as far as we know.
    head_since: Tick,
    /// When anything was last heard of it.
    heard: Tick,
    /// The most memory it had held by the replies in hand, where that was looked at.
    peak_bytes: Option<u64>,
    recall: Recall,
    /// It was recalled, and had not started anything.
    asleep: Option<Asleep>,
    /// The job it has is one for a fresh worker alone.
    is_alone: bool,
    /// It has closed this pipe, and is to be gone by then.
    closed: Option<(Pipe, Tick)>,
    /// The running job is over its time: until then it may end by itself.
    overdue: Option<Tick>,
    /// Nobody wants the running job any more.
    is_cancelled: bool,
    /// It was seen to hold so many bytes, which is too much.
    overweight: Option<u64>,
    /// What the running job does was looked at, for the first time.
    is_examined: bool,
    /// And for the second, when its time was over.
    hang: Option<Box<Hang>>,
}

impl Work {
    pub(super) fn new(pid: i32) -> Self {
        Self { pid, ..Self::default() }
    }

    pub(super) fn introduce(&mut self, abilities: Abilities) {
        self.abilities = abilities;
    }

    pub(super) fn is_idle(&self) -> bool {
        self.window.is_empty()
    }

    /// The job it runs, or is about to, and since when.
    pub(super) fn first_in_hand(&self) -> Option<(JobKey, Tick)> {
        Some((*self.window.front()?, self.head_since))
    }

    pub(super) fn in_hand(&self) -> usize {
        self.window.len()
    }

    /// Whether it lives, as far as we know.
    pub(super) fn is_reliable(&self) -> bool {
        !self.is_asleep() && self.closed.is_none()
    }

    /// Whether it has never had a job.
    pub(super) fn is_fresh(&self) -> bool {
        self.sent == 0
    }

    pub(super) fn answered(&self) -> u64 {
        self.answered
    }

    /// How many more jobs it may be sent.
    pub(super) fn room(&self, rules: &JobRules) -> usize {
        let recalled = matches!(self.recall, Recall::Asked | Recall::Done);
        #[cfg(test)]
        let recalled = recalled && !(self.recall == Recall::Done && planted(Bug::SendsBehind));
        let barred = recalled || self.is_alone || self.overdue.is_some() || self.closed.is_some();
        if barred || self.window_bytes >= AHEAD_BYTES_MAX {
            return 0;
        }
        // Until it is heard of again behind a recall, there is nothing to be asked back.
        let streams = self.recall == Recall::None;
        #[cfg(test)]
        let streams = streams || planted(Bug::SendsBehind);
        let streams = streams && self.abilities.recorder;
        let depth = if streams { self.depth.depth(rules.depth) } else { 1 };
        let free = (depth as usize).saturating_sub(self.window.len());
        let left = rules
            .recycle
            .jobs
            .map(|max| self.left_of(max).saturating_sub(self.window.len() as u64));
        left.and_then(|left| usize::try_from(left).ok()).map_or(free, |left| left.min(free))
    }

    /// Whether it has done as many jobs as it may.
    pub(super) fn is_spent(&self, rules: &JobRules) -> bool {
        rules.recycle.jobs.is_some_and(|max| self.left_of(max) == 0)
    }

    /// How many more it may do, those in hand included.
    fn left_of(&self, max: u64) -> u64 {
        (self.spared + max).saturating_sub(self.answered)
    }

    /// Its replacement did not come up: it may do as many again.
    pub(super) fn spare(&mut self) {
        self.spared = self.answered;
    }

    /// Sends it up to so many of the jobs that are ready; whether there was any.
    pub(super) fn send(&mut self, worker: WorkerId, count: usize, turn: &mut Turn<'_>) -> bool {
        let was_idle = self.window.is_empty();
        let mut orders = Vec::with_capacity(count);
        while orders.len() < count
            && self.window_bytes < AHEAD_BYTES_MAX
            && let Some(key) = turn.ledger.take_ready()
        {
            orders.push(self.take_on(key, turn));
        }
        let is_any = !orders.is_empty();
        if is_any {
            self.send_off(worker, was_idle, orders, turn);
        }
        is_any
    }

    /// Sends it one of the jobs that want a fresh worker for themselves. Whether there was one.
    pub(super) fn send_lonely(&mut self, worker: WorkerId, turn: &mut Turn<'_>) -> bool {
        let Some(key) = turn.ledger.take_lonely() else { return false };
        let was_idle = self.window.is_empty();
        self.is_alone = true;
        let order = self.take_on(key, turn);
        self.send_off(worker, was_idle, vec![order], turn);
        true
    }

    /// A job joins those in hand.
    fn take_on(&mut self, key: JobKey, turn: &Turn<'_>) -> Order {
        let order = turn.ledger.order(key);
        self.window_bytes += order.payload.len();
        self.window.push_back(key);
        order
    }

    fn send_off(
        &mut self,
        worker: WorkerId,
        was_idle: bool,
        orders: Vec<Order>,
        turn: &mut Turn<'_>,
    ) {
        if was_idle {
            self.begin_head(turn.now);
        }
        self.heard = turn.now;
        self.sent += orders.len() as u64;
        self.last = self.sent;
        let resume = self.resumes(turn.now);
        #[cfg(test)]
        let resume = resume && !planted(Bug::NeverResumes);
        turn.actions.push(Action::Send { worker, resume, orders });
    }

    /// It writes to its own streams: only while it has one job at a time is it sure which one a
    /// line is about, and for whoever prints, streaming gains little.
    pub(super) fn keep_apart(&mut self) {
        self.depth.keep_apart();
    }

    /// It will hear or say nothing more.
    pub(super) fn close(&mut self, pipe: Pipe, now: Tick) {
        self.closed.get_or_insert((pipe, now + GONE_AFTER));
    }

    /// Takes its answers, each for the job at the head of its line.
    ///
    /// # Errors
    /// An answer for another job: it cannot be trusted any more.
    pub(super) fn on_replies(
        &mut self,
        worker: WorkerId,
        replies: Vec<Reply>,
        memory: Option<Memory>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ProtocolFault> {
        let is_broken = self.is_broken;
        #[cfg(test)]
        let is_broken = is_broken && !planted(Bug::TrustsLiars);
        if is_broken {
            return Ok(());
        }
        self.peak_bytes = memory.map(|memory| memory.peak_bytes);
        let (mut count, mut service_ns) = (0, 0u64);
        for reply in replies {
            let is_next = |key: &JobKey| {
                (turn.ledger.id(*key), turn.ledger.attempt(*key)) == (reply.id, reply.attempt)
            };
            let Some(key) = self.window.front().copied().filter(is_next) else {
                return Err(self.wrong_reply(&reply));
            };
            self.lately.truncate(LATELY - 1);
            self.lately.push_front((reply.id, reply.attempt));
            self.window_bytes -= turn.ledger.bytes(key);
            self.done = self.first();
            self.window.pop_front();
            self.answered += 1;
            // Whatever it says, no job has run for longer than the run.
            let measured = Duration::from_nanos(reply.service_ns).min(turn.now);
            let since_head = turn.now.saturating_sub(self.head_since);
            let took = if reply.service_ns == 0 { since_head } else { measured };
            count += 1;
            let took_ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
            service_ns = service_ns.saturating_add(took_ns);
            self.settle(key, worker, reply, took, turn);
            // What was wanted of this one is not of the next.
            (self.overdue, self.overweight, self.is_cancelled) = (None, None, false);
        }
        if count > 0 {
            self.depth.learn(count, service_ns);
            self.begin_head(turn.now);
            self.heard = turn.now;
            self.wake();
        }
        self.rest();
        Ok(())
    }

    /// Takes out a job that was never sent: as if the worker had answered that it failed, but with
    /// no place in the order of those that were.
    pub(super) fn on_unsendable(
        &mut self,
        worker: WorkerId,
        id: u64,
        [bytes, bytes_max]: [u64; 2],
        turn: &mut Turn<'_>,
    ) {
        let is_it = |key: &JobKey| turn.ledger.id(*key) == id;
        let Some(at) = self.window.iter().position(is_it) else { return };
        let Some(key) = self.window.remove(at) else { return };
        self.window_bytes -= turn.ledger.bytes(key);
        self.sent -= 1;
        self.last -= 1;
        let message = format!(
            "the job makes a frame of {bytes} bytes, over the cap of {bytes_max} bytes; allow more \
             with --max-frame"
        );
        let failure = Failure { kind: FailureKind::Error, message, place: None };
        let end = AttemptEnd::Error(Box::new(failure));
        let (number, pid, began) = (turn.ledger.attempt(key), self.pid, turn.now);
        let (took, peak_bytes, hang) = (Duration::ZERO, None, None);
        turn.file(key, Attempt { number, worker, pid, began, took, peak_bytes, hang, end });
        if at == 0 {
            self.overdue = None;
            self.begin_head(turn.now);
        }
        self.rest();
    }

    fn wrong_reply(&self, reply: &Reply) -> ProtocolFault {
        let id = reply.id;
        if self.lately.contains(&(id, reply.attempt)) {
            ProtocolFault::SecondReply { id }
        } else {
            ProtocolFault::WrongReply { id }
        }
    }

    /// It broke the protocol.
    pub(super) fn break_off(&mut self) {
        self.is_broken = true;
    }

    /// With nothing left in hand, nothing keeps it from taking more.
    fn rest(&mut self) {
        if self.window.is_empty() {
            self.is_alone = false;
            self.overdue = None;
            if self.recall == Recall::Done {
                self.recall = Recall::Over;
            }
        }
    }

    fn settle(
        &mut self,
        key: JobKey,
        worker: WorkerId,
        reply: Reply,
        took: Duration,
        turn: &mut Turn<'_>,
    ) {
        let (now, number, overweight) = (turn.now, reply.attempt, self.overweight);
        let (is_overdue, is_cancelled) = (self.overdue.is_some(), self.is_cancelled);
        let mut attempt = |end| self.attempt(worker, number, took, now, end);
        match reply.answer {
            Answer::Done(payload) => {
                let attempt = attempt(AttemptEnd::Ok);
                turn.ledger.done(key, payload, attempt, turn.actions);
            }
            // It gave up when it was told that its time was over.
            Answer::Failed(_) if is_cancelled => {
                let cause = Cause::AskedToStop(CANCELLED);
                let death = Death { cause, evidence: None, last_output: Vec::new() };
                turn.file(key, attempt(AttemptEnd::Returned(Box::new(death))));
            }
            Answer::Failed(_) if is_overdue => {
                let (cause, evidence, last_output) = (Cause::Timeout, None, Vec::new());
                let death = Death { cause, evidence, last_output };
                turn.file(key, attempt(AttemptEnd::Timeout(Box::new(death))));
            }
            Answer::Failed(failure) => turn.file(key, attempt(AttemptEnd::Error(failure))),
            Answer::Ran(mut ran) => {
                if let (Some(bytes), Some(evidence)) = (overweight, &mut ran.evidence) {
                    evidence.peak.raise(bytes);
                }
                if let Some(asked) = ran.asked.as_mut().filter(|_| is_cancelled) {
                    asked.why = CANCELLED.why;
                }
                ran.cause = verdict::of_command(&ran, turn.policy);
                let (is_ok, pid) = (ran.is_ok(), ran.pid);
                let attempt = Attempt { pid, peak_bytes: None, ..attempt(AttemptEnd::Ran(ran)) };
                if is_ok {
                    turn.ledger.done(key, Payload::copy(&[]), attempt, turn.actions);
                } else {
                    turn.file(key, attempt);
                }
            }
        }
    }

    /// An attempt of this worker's that took so long, and has ended now.
    fn attempt(
        &mut self,
        worker: WorkerId,
        number: u32,
        took: Duration,
        now: Tick,
        end: AttemptEnd,
    ) -> Attempt {
        let (pid, began) = (self.pid, now.saturating_sub(took));
        let (peak_bytes, hang) = (self.peak_bytes, self.hang.take());
        Attempt { number, worker, pid, began, took, peak_bytes, hang, end }
    }

    /// The first in the window is the how-many-th job sent.
    fn first(&self) -> u64 {
        self.last + 1 - self.window.len() as u64
    }

    /// For the invariants of the simulation: whether its bytes and numbers add up.
    #[cfg(test)]
    pub(super) fn makes_sense(&self, ledger: &super::ledger::Ledger) -> bool {
        let bytes: usize = self.keys().map(|key| ledger.bytes(key)).sum();
        bytes == self.window_bytes && self.done < self.first() && self.last <= self.sent
    }

    /// For the invariants of the simulation.
    #[cfg(test)]
    pub(super) fn keys(&self) -> impl Iterator<Item = JobKey> {
        self.window.iter().copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_not_silent_while_large_jobs_are_moved() {
        let stalled_after = |jobs: u32, window_bytes| {
            let abilities = Abilities { recorder: true, ..Abilities::default() };
            let (window, heard) = ((0..jobs).map(JobKey).collect(), Tick::from_secs(7));
            let work = Work { abilities, window, window_bytes, heard, ..Work::default() };
            work.recall_due().map(|at| at - heard)
        };
        assert_eq!(stalled_after(64, 64 * 15), Some(Duration::from_millis(1)));
        assert_eq!(stalled_after(2, 2 << 20), Some(Duration::from_micros(1_000 + 8 * 2048)));
        assert_eq!(stalled_after(1, 1 << 20), None);
    }
}
