//! Delivers news to the pool. Before that, the world derives from its own knowledge which attempts
//! must end because of the news, and how.

use super::{
    expected::{Expected, Kind, charges},
    outcomes::UNBEGUN_MAX,
    process::{Process, Sent},
    world::World,
};
use crate::{
    decide::{Answer, News, Reply},
    event::WorkerId,
    exit::{Evidence, ProcessEnd, Status, StopReason},
    job::Payload,
    limits::Resource,
    signal::Signal,
};

impl World {
    /// Takes the next news item of a process.
    pub(super) fn deliver(&mut self, worker: WorkerId) -> Option<News> {
        let process = self.processes.get_mut(&worker)?;
        let news = process.news.pop_front()?;
        match &news {
            News::Executed { .. } => {
                process.heard = true;
                process.executed_at = self.now;
            }
            News::Hello(_) => process.ready = process.stopping.is_none(),
            News::Broken(_) => process.fault_heard = true,
            News::Closed(_) => process.closed_heard = true,
            News::Replies { replies, memory, .. } => {
                let max = self.policy.jobs.as_ref().and_then(|it| it.recycle.resident_bytes);
                if let Some((max, memory)) = max.zip(*memory).filter(|_| !process.fault_heard) {
                    process.measured(memory.resident_bytes, max);
                }
                let whole = self.hear(worker, replies);
                self.process(worker).fault_heard |= !whole;
            }
            News::Progress { .. } => {}
            News::Unsendable { id, .. } => self.unsendable(worker, *id),
            News::Retracted { replies, started } => self.on_retracted(worker, replies, *started),
            News::Ended { end, remains, .. } => {
                self.hear(worker, &remains.replies);
                match end {
                    ProcessEnd::Ended(evidence) => {
                        self.dies(worker, Some(evidence), remains.started);
                    }
                    ProcessEnd::Unobserved { .. } => self.dies(worker, None, remains.started),
                    ProcessEnd::NeverStarted(fault) if !fault.is_transient() => {}
                    ProcessEnd::NeverStarted(_) | ProcessEnd::Withdrawn => {
                        self.transient.insert(worker.slot);
                    }
                }
                let process = self.processes.remove(&worker)?;
                self.give_back(process.line.iter());
                self.dying = Some((worker, process));
            }
        }
        Some(news)
    }

    /// Takes replies. Returns false at the first one that is not for the job at the head.
    fn hear(&mut self, worker: WorkerId, replies: &[Reply]) -> bool {
        let now = self.now;
        if self.process(worker).fault_heard {
            return true;
        }
        for reply in replies {
            let process = self.process(worker);
            let head = process.line.front().copied();
            let Some(head) = head.filter(|it| (it.id, it.attempt) == (reply.id, reply.attempt))
            else {
                assert!(process.lied, "{worker} has answered in order");
                return false;
            };
            process.line.pop_front();
            process.done = head.nth;
            process.answered += 1;
            process.head_since = now;
            process.last_heard = now;
            process.stalled &= !process.line.is_empty();
            (process.asleep, process.resumed) = (None, false);
            let cancelled = process.overdue.take() == Some(head.id);
            let unwanted = process.cancelled.take() == Some(head.id);
            let end = match &reply.answer {
                Answer::Done(payload) => Kind::Ok(payload.clone()),
                Answer::Failed(_) if unwanted => Kind::Requeued,
                Answer::Failed(_) if cancelled => Kind::Timeout,
                Answer::Failed(_) => Kind::Error,
                // The request to stop decides, whenever the command ended.
                Answer::Ran(ran) => match (ran.asked, ran.evidence.as_ref()) {
                    (Some(_), _) if unwanted => Kind::Requeued,
                    (Some(_), _) => Kind::Timeout,
                    (_, Some(evidence)) if evidence.status.is_success() => {
                        Kind::Ok(Payload::copy(b""))
                    }
                    _ => Kind::Error,
                },
            };
            let (id, attempt) = (head.id, head.attempt);
            match (&reply.answer, &end) {
                (Answer::Done(_), _) => self.note_reply(worker, id, true),
                (Answer::Failed(_), Kind::Error) => self.note_reply(worker, id, false),
                _ => {}
            }
            self.expected.push(Expected { id, attempt, worker, end, perhaps: false });
            self.give_back([head].iter());
        }
        true
    }

    /// A job could not be sent, so its attempt fails.
    fn unsendable(&mut self, worker: WorkerId, id: u64) {
        let now = self.now;
        let process = self.process(worker);
        let at = process.line.iter().position(|sent| sent.id == id);
        let Some(sent) = at.and_then(|at| process.line.remove(at)) else {
            // The worker answered it, although it was never sent.
            assert!(process.lied, "{worker} has no job {id}");
            process.fault_heard = true;
            return;
        };
        if at == Some(0) {
            process.head_since = now;
            (process.overdue, process.cancelled) = (None, None);
        }
        process.stalled &= !process.line.is_empty();
        let (attempt, end) = (sent.attempt, Kind::Error);
        self.expected.push(Expected { id, attempt, worker, end, perhaps: false });
        self.give_back([sent].iter());
    }

    fn on_retracted(&mut self, worker: WorkerId, replies: &[Reply], started: Option<u64>) {
        let now = self.now;
        let process = self.process(worker);
        process.retract_asked = false;
        process.last_heard = now;
        if process.fault_heard {
            return;
        }
        let whole = self.hear(worker, replies);
        let process = self.process(worker);
        process.fault_heard |= !whole;
        if started.is_none() && whole {
            let since = process.asleep.map_or(now, |(since, _)| since);
            process.asleep = Some((since, now));
        }
        let Some(started) = started.filter(|_| whole) else { return };
        let makes_sense =
            started == process.done || process.line.iter().any(|sent| sent.nth == started);
        if !makes_sense {
            assert!(process.lied, "{worker} kept its record");
            process.fault_heard = true;
            return;
        }
        let kept = process.line.iter().filter(|sent| sent.nth <= started).count();
        let back = process.line.split_off(kept);
        let was_asleep = process.asleep.take().is_some();
        if kept == 0 && !back.is_empty() && replies.is_empty() && !was_asleep {
            process.asleep = Some((now, now));
        }
        process.stalled = !process.line.is_empty();
        process.overdue = process.overdue.filter(|_| !process.line.is_empty());
        self.give_back(back.iter());
    }

    pub(super) fn give_back<'a>(&mut self, jobs: impl Iterator<Item = &'a Sent>) {
        for sent in jobs {
            self.job(sent.id).holder = None;
        }
    }

    /// A worker dies. The job that it ran may be charged; jobs behind it never are. A job that was
    /// next and not begun is charged once enough workers in a row have died with it.
    fn dies(&mut self, worker: WorkerId, evidence: Option<&Evidence>, started: Option<u64>) {
        let limited = self.policy.limits.get(Resource::Cpu).is_some();
        let process = self.process(worker);
        let Some(head) = process.line.front().copied() else { return };
        let end = verdict(process, evidence, limited);
        let end = match end {
            // The timeout was that of another job.
            Kind::Timeout if process.overdue != Some(head.id) => Kind::Requeued,
            end => end,
        };
        let Sent { id, attempt, .. } = head;
        let perhaps = process.lied;
        if started == Some(process.done) {
            assert!(perhaps || process.running.is_none(), "{worker} noted its job");
            if is_requested(process, evidence) {
                return;
            }
            let job = self.job(id);
            job.unbegun += 1;
            if job.unbegun <= UNBEGUN_MAX {
                return;
            }
        } else if !perhaps {
            let running = process.running.map(|running| running.id);
            assert_eq!(running, Some(id), "{worker} does its jobs in order");
        }
        self.expected.push(Expected { id, attempt, worker, end, perhaps });
    }

    /// The pool stops waiting for an unkillable worker: the attempt that it ran ends.
    pub(super) fn abandon(&mut self, worker: WorkerId) {
        let process = self.process(worker);
        assert!(process.killed, "{worker} abandoned but not killed");
        let process = self.processes.remove(&worker).unwrap();
        self.abandoned.insert(worker);
        self.give_back(process.line.iter());
        let Some(Sent { id, attempt, .. }) = process.line.front().copied() else { return };
        let end = match process.stopping {
            Some((StopReason::Timeout, _)) if process.overdue == Some(id) => Kind::Timeout,
            Some((StopReason::Protocol(fault), _)) if charges(fault) => Kind::Crashed,
            Some((StopReason::Memory, _)) => Kind::Crashed,
            _ => Kind::Requeued,
        };
        self.expected.push(Expected { id, attempt, worker, end, perhaps: false });
    }
}

/// Whether a worker ended because the supervisor asked it to, for no fault of its own.
fn is_requested(process: &Process, evidence: Option<&Evidence>) -> bool {
    let asked = process.asked.is_some() || process.dismissed || process.killed;
    let is_charge = process.stopping.is_some_and(|(why, _)| why.is_charge());
    let obeyed = evidence.is_none_or(|evidence| match evidence.status {
        Status::Code(_) | Status::Signal { signal: Signal::TERM, .. } => true,
        Status::Signal { signal, .. } => signal == Signal::KILL && process.killed,
    });
    asked && obeyed && !is_charge
}

/// How the attempt of a worker that died ends: charged, timed out or requeued.
fn verdict(process: &Process, evidence: Option<&Evidence>, limited: bool) -> Kind {
    let asked = process.asked.is_some() || process.dismissed || process.killed;
    let asked_for = match process.stopping {
        Some((StopReason::Timeout, _)) => Kind::Timeout,
        Some((StopReason::Protocol(fault), _)) if charges(fault) => Kind::Crashed,
        Some((StopReason::Memory, _)) => Kind::Crashed,
        _ => Kind::Requeued,
    };
    let Some(evidence) = evidence else {
        return if asked { asked_for } else { Kind::Requeued };
    };
    let memory =
        |killed: bool| killed && evidence.kernel_oom || limited && evidence.says_out_of_memory;
    match evidence.status {
        Status::Code(_) if asked => asked_for,
        Status::Code(_) => Kind::Crashed,
        Status::Signal { signal: Signal::KILL, .. } if process.killed => asked_for,
        Status::Signal { signal: Signal::TERM, .. } if asked => asked_for,
        Status::Signal { signal, .. } if memory(signal == Signal::KILL) => Kind::Crashed,
        Status::Signal { signal, .. } if process.heavy && signal.is_own_fault() => Kind::Crashed,
        Status::Signal { signal: Signal::XCPU, .. } if limited => Kind::Requeued,
        Status::Signal { signal, .. } if signal.is_own_fault() => Kind::Crashed,
        Status::Signal { .. } => Kind::Requeued,
    }
}
