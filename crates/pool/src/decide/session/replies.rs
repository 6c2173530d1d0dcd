//! Takes a worker's replies, and settles or retries the jobs that they answer.

use std::time::Duration;

use super::{
    super::{
        context::StepContext,
        input::{Answer, Memory, Reply, Unsendable},
        ledger::{JobKey, Sent},
        verdict,
    },
    Link, Session,
    head::{Head, Limit},
};
use crate::{
    event::{Event, Progress},
    exit::{self, Cause, ProtocolFault, StopReason, StopRequest},
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, Payload},
};

/// The request to stop that a cancelled job counts as having received.
const CANCELLED: StopRequest = StopRequest { why: StopReason::Cancelled, killed: false };

impl Session {
    /// Takes replies, each for the job at the head of the queue.
    ///
    /// # Errors
    /// The worker replied to another job than the one at the head.
    pub(in super::super) fn on_replies(
        &mut self,
        replies: Vec<Reply>,
        memory: Option<Memory>,
        ctx: &mut StepContext<'_>,
    ) -> Result<(), ProtocolFault> {
        if self.link == Link::Broken {
            return Ok(());
        }
        let max = ctx.policy.jobs.as_ref().and_then(|rules| rules.recycle.resident_bytes);
        if let Some((max, memory)) = max.zip(memory) {
            self.note_memory(memory.resident_bytes, max);
        }
        let peak_bytes = memory.map(|memory| memory.peak_bytes);
        let (mut count, mut service_ns, now_ns) = (0, 0u64, nanoseconds(ctx.now));
        for reply in replies {
            let key = self.in_flight.first().map(|key| (key, ctx.ledger.sent(key)));
            let key = key.filter(|(_, sent)| (sent.id, sent.attempt) == (reply.id, reply.attempt));
            let Some((key, Sent { bytes, .. })) = key else { return Err(self.wrong_reply(&reply)) };
            self.replies.recent.push(reply.id, reply.attempt);
            self.replies.count += 1;
            let took_ns = match reply.service_ns {
                0 => nanoseconds(ctx.now.saturating_sub(self.in_flight.head.since)),
                // A worker may report any time, but no job has run for longer than the run.
                measured => measured.min(now_ns),
            };
            count += 1;
            service_ns = service_ns.saturating_add(took_ns);
            let id = reply.id;
            match self.settle(key, reply, Duration::from_nanos(took_ns), peak_bytes, ctx) {
                Settled::Ok => {
                    self.replies.failures.succeeded(ctx.health);
                    self.replies.says_out_of_memory = false;
                }
                Settled::Failed { out_of_memory } => {
                    self.replies.says_out_of_memory = out_of_memory;
                    self.note_failure(id, ctx);
                }
                Settled::Stopped => {}
            }
            self.in_flight.pop_answered(bytes);
        }
        if count > 0 {
            self.prefetch.learn(count, service_ns, self.replies.failures.may_grow());
            self.in_flight.head.since = ctx.now;
            self.last_heard = ctx.now;
            self.retraction.wake();
        }
        self.rest();
        Ok(())
    }

    /// Notes that the worker failed this job. Now and then its memory is sampled: want of memory may
    /// be the reason.
    fn note_failure(&mut self, id: u64, ctx: &mut StepContext<'_>) {
        let before = self.failures();
        self.replies.failures.failed(id, ctx.health);
        let is_sampled = self.failures() > 1 && self.failures().is_power_of_two();
        if let Some(memory) = ctx.memory.as_mut().filter(|_| is_sampled && self.failures() > before)
        {
            memory.hurry(self.worker, ctx.now);
        }
    }

    fn wrong_reply(&self, reply: &Reply) -> ProtocolFault {
        let id = reply.id;
        if self.replies.recent.contains(id, reply.attempt) {
            ProtocolFault::SecondReply { id }
        } else {
            ProtocolFault::WrongReply { id }
        }
    }

    /// Removes a job that was not sent, because the wire cannot carry it, and fails its attempt.
    /// The job does not count in the worker's sequence of jobs.
    ///
    /// # Errors
    /// The job is not in flight: the worker has answered it, although it was never sent.
    pub(in super::super) fn on_unsendable(
        &mut self,
        id: u64,
        why: Unsendable,
        ctx: &mut StepContext<'_>,
    ) -> Result<(), ProtocolFault> {
        let ledger = &*ctx.ledger;
        let is_it = |key| ledger.id(key) == id;
        let length = |key| ledger.bytes(key);
        let key = self.in_flight.remove_unsent(is_it, length, ctx.now);
        let key = key.ok_or(ProtocolFault::WrongReply { id })?;
        let message = match why {
            Unsendable::TooLong { bytes, bytes_max } => format!(
                "the job makes a frame of {bytes} bytes, over the cap of {bytes_max} bytes; allow \
                 more with --max-frame"
            ),
            Unsendable::Newline => {
                "the job contains a newline, and with --wire lines each line is \
                                    a job; encode it, for example as JSON"
                    .to_owned()
            }
        };
        let failure = Failure { kind: FailureKind::Error, message, place: None };
        let number = ctx.ledger.sent(key).attempt;
        let end = AttemptEnd::Error(Box::new(failure));
        ctx.file(key, self.attempt(number, Duration::ZERO, ctx.now, end));
        self.rest();
        Ok(())
    }

    /// Reports the progress of the running job. Progress of another job came too late.
    pub(in super::super) fn on_progress(
        &self,
        id: u64,
        progress: Progress,
        ctx: &mut StepContext<'_>,
    ) {
        let running = self.in_flight.first().map(|key| ctx.ledger.sent(key));
        if let Some(Sent { attempt, .. }) = running.filter(|sent| sent.id == id) {
            ctx.emit(Event::Progress { worker: self.worker, id, attempt, progress });
        }
    }

    /// Updates the retraction if no job is in flight any more.
    pub(super) fn rest(&mut self) {
        if self.is_idle() {
            self.retraction.on_idle();
        }
    }

    /// Settles the job at the head, or adds its failed attempt, according to the reply. Returns what
    /// the reply says about the worker.
    fn settle(
        &mut self,
        key: JobKey,
        reply: Reply,
        took: Duration,
        peak_bytes: Option<u64>,
        ctx: &mut StepContext<'_>,
    ) -> Settled {
        let now = ctx.now;
        let Head { limit, overweight, .. } = self.in_flight.head;
        let hang = self.in_flight.head.hang.take();
        let attempt =
            |end| Attempt { peak_bytes, hang, ..self.attempt(reply.attempt, took, now, end) };
        match (reply.answer, limit) {
            (Answer::Done(payload), _) => {
                let attempt = attempt(AttemptEnd::Ok);
                ctx.ledger.done(key, payload, attempt, ctx.actions);
                Settled::Ok
            }
            (Answer::Failed(failure), Limit::NotReached) => {
                let out_of_memory = ctx.policy.limits.memory().is_some()
                    && exit::says_out_of_memory([b"", failure.message.as_bytes()]);
                ctx.file(key, attempt(AttemptEnd::Error(failure)));
                Settled::Failed { out_of_memory }
            }
            // It failed because it was asked to end at its time limit.
            (Answer::Failed(_), Limit::TimedOut { .. }) => {
                ctx.file(key, attempt(AttemptEnd::Timeout(stopped(Cause::Timeout))));
                Settled::Stopped
            }
            (Answer::Failed(_), Limit::Cancelled { .. }) => {
                let cause = Cause::AskedToStop(CANCELLED);
                ctx.file(key, attempt(AttemptEnd::Requeued(stopped(cause))));
                Settled::Stopped
            }
            (Answer::Ran(mut ran), limit) => {
                if let (Some(bytes), Some(evidence)) = (overweight, &mut ran.evidence) {
                    evidence.peak.raise(bytes);
                }
                if let Some(asked) = ran.asked.as_mut().filter(|_| limit.is_cancelled()) {
                    asked.why = CANCELLED.why;
                }
                ran.cause = verdict::of_command(&ran, ctx.policy);
                let (is_ok, pid) = (ran.is_ok(), ran.pid);
                let attempt = Attempt { pid, peak_bytes: None, ..attempt(AttemptEnd::Ran(ran)) };
                if is_ok {
                    ctx.ledger.done(key, Payload::copy(&[]), attempt, ctx.actions);
                } else {
                    ctx.file(key, attempt);
                }
                // The command says nothing about its launcher.
                Settled::Stopped
            }
        }
    }
}

/// What a reply says about its worker.
enum Settled {
    /// It does its jobs.
    Ok,
    /// It failed a job; `out_of_memory` is whether its memory is limited, and it says that it ran
    /// out.
    Failed { out_of_memory: bool },
    /// Nothing: the job was stopped, or a command ended.
    Stopped,
}

/// The death of an attempt that ended early, although its worker still lives.
fn stopped(cause: Cause) -> Box<Death> {
    Box::new(Death { cause, evidence: None, last_output: Vec::new() })
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
