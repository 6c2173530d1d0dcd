//! Performs the actions of the pool, and checks that each is allowed at that time.

use std::time::Duration;

use super::{
    process::{Frame, Process, Sent},
    world::{Record, World, is_roll},
};
use crate::{
    decide::{
        Abilities, Action, Cancelled, News, Order, Tick, Unsendable,
        slot::Slot,
        worker::{Worker, WorkerPhase},
    },
    event::{Event, Next, ShutdownReason, WorkerId},
    exit::{Cause, ProtocolFault, StopReason},
    rules::{Prefetch, Repeats, Restart},
};

impl World {
    pub(super) fn perform(&mut self, action: Action) {
        let now = self.now;
        match action {
            Action::Spawn(worker) => self.spawn(worker),
            Action::Send { worker, resume, orders } => {
                let process = self.live(worker);
                assert!(!process.retract_asked, "{worker} is being retracted, and is sent jobs");
                if resume {
                    process.resumed = true;
                    process.read(Frame::Resume);
                }
                match &orders[..] {
                    [] => assert!(process.asleep.is_some_and(|(since, _)| since == now)),
                    orders => self.send(worker, orders),
                }
            }
            Action::Retract(worker) => {
                let process = self.live(worker);
                assert!(process.abilities.recorder, "{worker} could not hear a retraction");
                assert!(!process.retract_asked, "{worker} retracted twice");
                if let Some((since, looked)) = process.asleep {
                    let pause = (looked - since).min(Duration::from_secs(1));
                    let due = looked + pause.max(Duration::from_millis(1));
                    assert!(due <= now, "{worker} sleeps, and is looked at again too soon");
                }
                process.retract_asked = true;
                let Some(process) = self.processes.get_mut(&worker) else { return };
                process.retract_jobs(&mut self.chance);
            }
            Action::Cancel { worker, id, why } => {
                assert_ne!(why, Cancelled::Memory, "only commands are ended for their memory");
                self.cancel(worker, id);
            }
            Action::Examine { worker, id, is_over } => {
                self.on_time_of(worker, id, is_over);
            }
            Action::ExamineStart(worker) => self.examine_start(worker),
            Action::SampleMemory { workers, limit } => self.sample(workers, limit),
            Action::Dismiss(worker) => {
                let process = self.live(worker);
                assert!(process.ready && process.stopping.is_some(), "{worker} is not to end");
                assert!(process.line.is_empty(), "{worker} dismissed with a job in hand");
                assert!(!process.dismissed, "{worker} dismissed twice");
                process.dismissed = true;
                process.read(Frame::End);
            }
            Action::Ask(worker) => {
                let process = self.live(worker);
                assert!(process.heard, "{worker} asked before it could hear");
                assert!(process.asked.replace(now).is_none(), "{worker} asked twice");
                let why = process.stopping.map(|(why, _)| why);
                let is_its_own = matches!(
                    why,
                    Some(StopReason::Timeout | StopReason::Cancelled | StopReason::Protocol(_))
                );
                let may_finish = self.nature.jobs && !self.process(worker).line.is_empty();
                let is_late = self.hurries.is_some_and(|at| at + self.policy.grace <= now);
                let has_time = !is_late && !self.at_once && !self.pressed;
                assert!(is_its_own || !may_finish || !has_time, "{worker} may finish its job");
            }
            Action::Withdraw(worker) => {
                let process = self.live(worker);
                assert!(!process.heard && process.stopping.is_some(), "{worker} is wanted");
                let Some(process) = self.processes.get_mut(&worker) else { return };
                process.withdraw(&mut self.chance);
            }
            Action::Kill(worker) => self.kill(worker),
            Action::Requeued { .. } => {}
            Action::Emit(event) => self.take_event(event),
        }
    }

    fn live(&mut self, worker: WorkerId) -> &mut Process {
        let process = self.process(worker);
        assert!(!process.killed, "{worker} is killed already");
        process
    }

    fn kill(&mut self, worker: WorkerId) {
        let (now, grace, pressed) = (self.now, self.policy.grace, self.pressed);
        let process = self.live(worker);
        let Some((why, since)) = process.stopping else { panic!("{worker} killed for nothing") };
        // A worker gets no stop signal before it is executed: its grace period counts from the
        // decision to stop it.
        let asked = process.asked.filter(|_| process.ready).unwrap_or(since);
        let due = asked + grace <= now;
        let is_fault = matches!(why, StopReason::Protocol(_)) || self.is_too_heavy(worker, why);
        let is_condemned = self.process(worker).condemned;
        assert!(
            due || pressed || is_fault || is_condemned,
            "{worker} killed before its grace was over"
        );
        self.process(worker).killed = true;
    }

    fn spawn(&mut self, worker: WorkerId) {
        let WorkerId { slot, generation } = worker;
        assert!(self.stopping.is_none(), "{worker} started during shutdown");
        assert!(!self.was_done, "{worker} started when all was done");
        let begun = self.generations.entry(slot).or_default();
        *begun += 1;
        assert_eq!(*begun, generation, "generations are numbered in order");
        if self.policy.restart == Restart::Never && !self.transient.contains(&slot) {
            assert_eq!(generation, 1, "{worker} is a restart");
        }
        let not_before = self.to_start.remove(&slot).unwrap_or_default();
        assert!(self.now >= not_before, "{worker} started before its time");
        assert!(self.scale == 0 || slot <= self.scale, "{worker} is one too many");
        self.spawned = true;
        self.processes.insert(worker, Process::new(&self.nature, &mut self.chance));
    }

    fn send(&mut self, worker: WorkerId, jobs: &[Order]) {
        assert!(self.stopping.is_none(), "{worker} is sent jobs, and the run stops");
        assert!(!self.paused, "{worker} is sent jobs, and the run is paused");
        let wanted = self.policy.jobs.as_ref().map(|rules| rules.prefetch);
        let now = self.now;
        let delay = self.policy.jobs.as_ref().map_or(Duration::ZERO, |rules| rules.delay);
        let is_paced = self.sent.is_none_or(|at| at + delay <= now);
        assert!(is_paced && (delay.is_zero() || jobs.len() == 1), "jobs are sent too soon");
        self.sent = Some(now);
        let process = self.live(worker);
        assert!(process.ready, "{worker} has not said hello");
        assert!(process.stopping.is_none(), "{worker} is to end, and is sent jobs");
        assert!(!process.fault_heard, "{worker} broke the protocol, and is sent jobs");
        assert!(!process.stalled, "{worker} was retracted, and is sent jobs behind its long one");
        let depth = wanted.map_or(0, |wanted| depth(wanted, process.abilities));
        assert!(process.line.len() + jobs.len() <= depth, "{worker} has more than its depth");
        let depth = if process.resumed { 1 } else { depth };
        assert!(process.line.len() + jobs.len() <= depth, "{worker} may not wake, and has many");
        let asleep = process.asleep;
        let in_all = process.answered + (process.line.len() + jobs.len()) as u64;
        let was_kept = self.generations.get(&worker.slot) > Some(&worker.generation);
        let max = self.policy.jobs.as_ref().and_then(|rules| rules.recycle.jobs);
        assert!(was_kept || max.is_none_or(|max| in_all <= max), "{worker} is to be recycled");
        let is_large = self.process(worker).is_large;
        assert!(was_kept || !is_large, "{worker} is large, and is sent jobs");
        let process = self.live(worker);
        if process.line.is_empty() {
            process.head_since = now;
        }
        process.last_heard = now;
        let head = process.line.front().map(|head| head.id);
        let is_due = asleep.is_none_or(|asleep| self.may_wake(asleep));
        assert!(is_due, "{worker} sleeps, not all do");
        let is_apart = head.is_some_and(|id| self.job(id).runs_alone());
        assert!(!is_apart, "{worker} has a job alone");
        for order in jobs {
            self.send_one(worker, order, jobs.len());
        }
    }

    /// Sends one of `count` jobs of the same action.
    fn send_one(&mut self, worker: WorkerId, order: &Order, count: usize) {
        let (id, attempt, now, hold) = (order.id, order.attempt, self.now, self.hold);
        if self.job(id).runs_alone() {
            let sent = self.process(worker).sent;
            assert!(sent == 0 && count == 1, "job {id} is not alone in a fresh worker");
        }
        let job = self.job(id);
        let was_sent = std::mem::replace(&mut job.was_sent, true);
        assert!(was_sent || !hold, "job {id} begun with, and outcomes have nowhere to go");
        let position = job.position.to_string();
        assert_eq!(order.payload.as_bytes(), position.as_bytes(), "job {id} as it came");
        assert!(!job.settled, "job {id} is settled, and sent");
        assert_eq!(job.holder.replace(worker), None, "job {id} is with two workers");
        assert_eq!(attempt as usize, job.attempts.len() + 1, "attempts of job {id}");
        assert!(job.not_before <= now, "job {id} before its time");
        self.check_retried_elsewhere(worker, id);
        let rules = self.policy.jobs.as_ref();
        let is_once = rules.is_some_and(|rules| rules.repeats == Repeats::Never);
        assert!(!is_once || attempt == 1, "job {id} is begun twice");
        let is_bulky = self.chance.one_in(self.nature.bulky);
        let process = self.process(worker);
        process.sent += u64::from(!is_bulky);
        process.line.push_back(Sent { nth: process.sent, id, attempt });
        if is_bulky {
            let why = Unsendable::TooLong { bytes: 2000, bytes_max: 1000 };
            process.news.push_back(News::Unsendable { id, why });
        } else {
            process.read(Frame::Job { id, attempt });
        }
        self.begun(id, true);
    }

    /// Whether a worker that has been asleep since then may be sent a job: only if no other worker
    /// takes jobs, now or later.
    pub(super) fn may_wake(&self, (since, _): (Tick, Tick)) -> bool {
        let serves = |process: &Process| {
            let serves = process.ready && process.stopping.is_none() && !process.killed;
            serves && process.asleep.is_none() && !process.closed_heard
        };
        // A worker whose start is not among the actions performed so far does not count.
        let is_there = |slot: &&Slot| {
            slot.worker().is_none_or(|worker: &Worker| {
                let is_starting =
                    matches!(worker.phase, WorkerPhase::Spawned | WorkerPhase::Executed { .. });
                !is_starting || self.processes.contains_key(&worker.id)
            })
        };
        let helped = self.pool.slots.iter().filter(is_there).any(Slot::is_coming)
            || self.processes.values().any(serves);
        !helped && since + Duration::from_secs(1) <= self.now
    }

    /// A job is examined twice: after half of its time limit, and at its end.
    fn on_time_of(&mut self, worker: WorkerId, id: u64, is_over: bool) {
        let timeout = self.policy.jobs.as_ref().and_then(|rules| rules.timeout).unwrap();
        let (now, part) = (self.now, if is_over { 1 } else { 2 });
        let process = self.process(worker);
        assert_eq!(process.line.front().map(|head| head.id), Some(id), "{worker} runs another");
        assert!(process.head_since + timeout / part <= now, "{worker} still has time for {id}");
        let looks = (id, process.head_since, is_over);
        assert!(process.examined.insert(looks), "{worker} is looked at again for {id}");
    }

    fn cancel(&mut self, worker: WorkerId, id: u64) {
        let timeout = self.policy.jobs.as_ref().and_then(|rules| rules.timeout);
        let now = self.now;
        let process = self.live(worker);
        assert!(process.abilities.cancels, "{worker} hears no cancel");
        assert_eq!(process.line.front().map(|head| head.id), Some(id), "{worker} runs another");
        let over = timeout.is_some_and(|timeout| process.head_since + timeout <= now);
        let wanted = process.cancelled != Some(id);
        assert!(over || !wanted, "{worker} still has time for job {id}");
        process.overdue = Some(id);
        process.hear_cancel(id);
    }

    fn take_event(&mut self, event: Event) {
        match event {
            Event::Ended(ended) => {
                assert!(self.ended.insert(ended.worker), "{} ended twice", ended.worker);
                if ended.cause == Cause::Timeout && self.is_to_blame(ended.worker) {
                    let at_once = ended.next == Next::Restart(Duration::ZERO);
                    assert!(!at_once, "{} took no job, and is started at once", ended.worker);
                }
                if self.dying.as_ref().is_some_and(|(_, process)| process.withdrawn) {
                    let is_ours = matches!(ended.cause, Cause::AskedToStop(_));
                    let may_come = self.dying.as_ref().is_some_and(|(_, it)| it.condemned);
                    let is_over = ended.next == Next::Done || may_come;
                    assert!(is_ours && is_over, "{} never was", ended.worker);
                }
                self.slot_ends(&ended);
            }
            Event::Stopping { worker, why, kill } => self.stops(worker, why, kill),
            Event::ShuttingDown { reason } => {
                let is_second = self.stopping.is_some();
                self.stopping.get_or_insert(reason);
                let hurried = self.at_once || self.hurries.is_some();
                let is_late = reason == ShutdownReason::Deadline && !self.at_once;
                assert!(!is_second || !hurried || is_late, "the run stops twice");
                match reason {
                    ShutdownReason::Signal(_) => self.hurries = Some(self.now),
                    ShutdownReason::SourceFailed | ShutdownReason::Halted { now: false, .. } => {
                        assert!(!is_second, "the run stops twice, and for no haste");
                    }
                    _ => self.at_once = true,
                }
                self.climbed = Some(self.now);
                self.to_start.clear();
            }
            Event::RollCancelled { worker } => {
                let dying = self.dying.as_ref().filter(|(dying, _)| *dying == worker);
                let (_, process) = dying.unwrap_or_else(|| panic!("{worker} still is there"));
                let rolled = process.stopping.is_some_and(|(why, _)| is_roll(why));
                assert!(!rolled, "{worker} made way, and its roll is called off");
            }
            Event::Jobs(tally) => self.reported = tally,
            Event::Paused | Event::Resumed => {
                assert_eq!(event == Event::Paused, self.paused, "the event says what is asked");
            }
            Event::Unkillable { .. }
            | Event::Retried { .. }
            | Event::Started { .. }
            | Event::Ready { .. }
            | Event::Progress { .. }
            | Event::StillSilent { .. } => {}
        }
    }

    fn stops(&mut self, worker: WorkerId, why: StopReason, kill: bool) {
        let (now, grace) = (self.now, self.policy.grace);
        let timeout = self.policy.jobs.as_ref().and_then(|rules| rules.timeout);
        let process = self.process(worker);
        let (_, since) = process.stopping.unwrap_or((why, now));
        if why == StopReason::Timeout && !kill {
            let head = process.line.front().unwrap_or_else(|| panic!("{worker} has no job"));
            let patience = if process.overdue.is_some() { grace } else { Duration::ZERO };
            let due = timeout.map(|timeout| process.head_since + timeout + patience);
            assert!(due.is_some_and(|due| due <= now), "{worker} still has time");
            process.overdue = Some(head.id);
        }
        process.stopping = Some((why, since));
        if why == StopReason::Protocol(ProtocolFault::Silence) {
            self.check_silence(worker);
        }
        if why == StopReason::Failing && !kill {
            self.stops_failing(worker);
        }
    }

    /// Whether a dying worker never answered a job and was running none.
    fn is_to_blame(&self, worker: WorkerId) -> bool {
        let dying = self.dying.as_ref().filter(|(dying, _)| *dying == worker);
        let idle = dying.is_some_and(|(_, process)| process.done == 0);
        idle && self.expected.iter().all(|expected| expected.worker != worker)
    }

    pub(super) fn job(&mut self, id: u64) -> &mut Record {
        let index = usize::try_from(id).unwrap() - 1;
        self.jobs.get_mut(index).unwrap_or_else(|| panic!("job {id} was never accepted"))
    }
}

/// The most jobs that a worker may have in flight.
fn depth(wanted: Prefetch, abilities: Abilities) -> usize {
    match wanted {
        Prefetch::Fixed(depth) if abilities.recorder || abilities.queues => depth as usize,
        Prefetch::Auto | Prefetch::Ahead if abilities.recorder => Prefetch::MAX as usize,
        _ => 1,
    }
}
