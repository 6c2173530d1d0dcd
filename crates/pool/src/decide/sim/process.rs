//! A simulated process. It advances in small steps, after each of which it may die: it reads a
//! frame, starts a job, ends the job, writes the reply.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Duration,
};

use super::{Chance, ends::ran, nature::Nature};
use crate::{
    decide::{Abilities, Answer, Memory, News, Reply, Tick},
    exit::{Pipe, ProcessEnd, ProtocolFault, StartFault, StartStep, Status, StopReason},
    job::{Failure, FailureKind, Payload},
    signal::Signal,
};

/// A message to a worker.
#[derive(Clone, Copy, Debug)]
pub(super) enum Frame {
    Job { id: u64, attempt: u32 },
    Resume,
    End,
}

/// How a running job will end.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Ok,
    Fails(FailureKind),
    Hangs,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Run {
    pub(super) id: u64,
    attempt: u32,
    fate: Fate,
}

/// A job in flight, as the pool can know it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) nth: u64,
    pub(super) id: u64,
    pub(super) attempt: u32,
}

/// A process of the simulated world.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// Whether it is unkillable: no signal ends it.
    pub(super) held: bool,
    /// Whether it never says hello.
    silent: bool,
    /// Whether it ignores the stop signal and its dismissal.
    deaf: bool,
    /// Whether it reads no frames, like a stopped process.
    blind: bool,
    /// Whether it fails every job at once.
    sick: bool,
    /// Whether it may break the protocol.
    vile: bool,
    /// Whether it has broken the protocol, so that its replies may be wrong.
    pub(super) lied: bool,
    /// The running job, if it was cancelled.
    pub(super) cancelled: Option<u64>,
    /// The examinations so far: the job, since when it ran, and whether it was at its time limit.
    pub(super) examined: BTreeSet<(u64, Tick, bool)>,
    pub(super) abilities: Abilities,

    pub(super) executed: bool,
    pub(super) spoken: bool,
    inbox: VecDeque<Frame>,
    /// The number of job frames that it has read.
    came: u64,
    /// The sequence number in its recorder: that of the last job that it started.
    pub(super) started: u64,
    jobs_retracted: bool,
    pub(super) running: Option<Run>,
    cancel: Option<u64>,
    /// Replies that it has not written.
    pub(super) tail: Vec<Reply>,
    /// Replies that it has written and the supervisor has not read.
    pub(super) pipe: Vec<Reply>,
    pub(super) broken: Option<ProtocolFault>,
    /// Whether it has closed the pipe of its replies.
    closed: bool,
    pub(super) end: Option<ProcessEnd>,
    pub(super) noticed: bool,
    /// News that was not delivered to the pool yet.
    pub(super) news: VecDeque<News>,

    /// When the pool learnt that its program is executed.
    pub(super) executed_at: Tick,
    /// How long it has waited for a processor, as the pool knows.
    pub(super) unserved: Duration,
    /// Whether the pool knows that its program is executed.
    pub(super) heard: bool,
    pub(super) ready: bool,
    pub(super) fault_heard: bool,
    pub(super) closed_heard: bool,
    pub(super) withdrawn: bool,
    /// Whether the pool knows that it holds too much memory.
    pub(super) heavy: bool,
    /// Its memory when it was first measured, and whether it has reached the limit since.
    base_bytes: Option<u64>,
    pub(super) is_large: bool,
    /// Whether a sample of this step is close to its limit of memory.
    pub(super) near_limit: bool,
    /// Whether a user killed it in this step.
    pub(super) condemned: bool,
    pub(super) stopping: Option<(StopReason, Tick)>,
    pub(super) dismissed: bool,
    pub(super) asked: Option<Tick>,
    pub(super) killed: bool,
    pub(super) line: VecDeque<Sent>,
    pub(super) sent: u64,
    pub(super) done: u64,
    pub(super) answered: u64,
    pub(super) head_since: Tick,
    pub(super) last_heard: Tick,
    pub(super) retract_asked: bool,
    /// Whether its jobs were retracted and the running one must end before it gets another.
    pub(super) stalled: bool,
    /// Present if it is asleep: its jobs were retracted, it had started none, and it has not
    /// replied since. The times are when it fell asleep and when it was last checked.
    pub(super) asleep: Option<(Tick, Tick)>,
    /// Whether it was sent a resume frame and has not replied since.
    pub(super) resumed: bool,
    pub(super) overdue: Option<u64>,
    pub(super) record: super::health::FailureRecord,
}

impl Process {
    pub(super) fn new(nature: &Nature, chance: &mut Chance) -> Self {
        let wild = nature.trouble < u64::MAX;
        Self {
            held: wild && chance.one_in(40),
            silent: wild && chance.one_in(nature.silent),
            deaf: wild && chance.one_in(8),
            blind: wild && chance.one_in(nature.silent.saturating_mul(4)),
            vile: nature.vile && chance.one_in(3),
            abilities: {
                let recorder = !chance.one_in(4);
                let cancels = chance.one_in(2);
                Abilities { recorder, cancels, queues: !recorder && chance.one_in(2) }
            },
            ..Self::default()
        }
    }

    pub(super) fn read(&mut self, frame: Frame) {
        self.inbox.push_back(frame);
    }

    pub(super) fn hear_cancel(&mut self, id: u64) {
        self.cancel = Some(id);
    }

    /// Advances it by one small step.
    pub(super) fn live(&mut self, nature: &Nature, chance: &mut Chance) {
        let tame = nature.obedient;
        self.blind &= !chance.one_in(100);
        if self.end.is_some() {
            self.notice(nature, chance);
        } else if self.held && !tame {
            // No signal ends it.
        } else if self.killed && !self.executed && chance.one_in(2) {
            let fault = StartFault { step: StartStep::Receive, errno: 0 };
            self.end = Some(ProcessEnd::NeverStarted(fault));
        } else if self.killed {
            self.die(Status::Signal { signal: Signal::KILL, core: false });
        } else if tame && self.lied {
            self.die(Status::Code(1));
        } else if self.asked.is_some() && (tame || !self.deaf && chance.one_in(3)) {
            let term = Status::Signal { signal: Signal::TERM, core: false };
            self.die(if chance.one_in(3) { Status::Code(1) } else { term });
        } else if !self.executed {
            self.execute(nature, chance);
        } else if !tame && !nature.jobs && chance.one_in(3) {
            self.fall(nature, chance);
        } else if nature.jobs && !self.spoken {
            self.speak(nature, chance);
        } else if nature.jobs {
            self.work(nature, chance);
        }
    }

    fn execute(&mut self, nature: &Nature, chance: &mut Chance) {
        if !nature.obedient && chance.one_in(nature.stillborn) {
            if chance.one_in(3) {
                return self.fall(nature, chance);
            }
            let errno = chance.pick(&[crate::errno::ENOENT, crate::errno::EAGAIN, 0]);
            let fault = StartFault { step: StartStep::Exec, errno };
            self.end = Some(ProcessEnd::NeverStarted(fault));
            return;
        }
        self.executed = true;
        self.news.push_back(News::Executed { pid: 7 });
    }

    fn speak(&mut self, nature: &Nature, chance: &mut Chance) {
        if !nature.obedient && chance.one_in(nature.trouble) {
            return self.fall(nature, chance);
        }
        if self.silent && !nature.obedient {
            return;
        }
        if self.vile && !nature.obedient && chance.one_in(10) {
            return self.break_off(ProtocolFault::Hello);
        }
        self.spoken = true;
        self.news.push_back(News::Hello(self.abilities));
    }

    fn work(&mut self, nature: &Nature, chance: &mut Chance) {
        if !nature.obedient && chance.one_in(nature.trouble) {
            return self.fall(nature, chance);
        }
        if self.vile && !nature.obedient && chance.one_in(30) {
            return self.lie(chance);
        }
        if !self.pipe.is_empty() && chance.one_in(2) {
            return self.be_heard(nature, chance);
        }
        if !self.tail.is_empty() && chance.one_in(4) {
            return self.pipe.append(&mut self.tail);
        }
        match self.running {
            Some(run) => self.run(run, nature, chance),
            None => self.take_in(nature, chance),
        }
    }

    fn run(&mut self, run: Run, nature: &Nature, chance: &mut Chance) {
        let failure = |kind| {
            Answer::Failed(Box::new(Failure { kind, message: "as planned".into(), place: None }))
        };
        let done = |id| Answer::Done(answer(id));
        let cancelled = self.cancel == Some(run.id);
        let answer = match run.fate {
            _ if nature.obedient && (cancelled || !nature.has_timeout) => done(run.id),
            Fate::Hangs if cancelled && !self.deaf => failure(FailureKind::Error),
            Fate::Hangs => return,
            _ if !self.sick && chance.one_in(3) => return,
            Fate::Ok => done(run.id),
            Fate::Fails(kind) => failure(kind),
        };
        let answer = if nature.launches { ran(&answer, cancelled) } else { answer };
        let service_ns = chance.pick(&[0, 1000, 50_000, 300_000, 5_000_000]);
        self.sick |= !nature.obedient && chance.one_in(nature.breaks);
        let Run { id, attempt, .. } = run;
        self.running = None;
        self.tail.push(Reply { id, attempt, service_ns, answer });
        if !self.abilities.recorder {
            self.pipe.append(&mut self.tail);
        }
    }

    fn take_in(&mut self, nature: &Nature, chance: &mut Chance) {
        let reads = nature.obedient || !self.blind;
        let Some(frame) = (if reads { self.inbox.pop_front() } else { None }) else {
            return self.pipe.append(&mut self.tail);
        };
        match frame {
            Frame::Job { id, attempt } => {
                self.came += 1;
                if self.abilities.recorder && self.jobs_retracted {
                    return;
                }
                if self.abilities.recorder && !nature.obedient && id.is_multiple_of(nature.poison) {
                    // It dies of the job before it notes that it begins it.
                    return self.die(Status::Signal { signal: Signal::SEGV, core: false });
                }
                self.started = self.came;
                let fate = match chance.below(nature.trouble.saturating_mul(2)) {
                    _ if nature.obedient => Fate::Ok,
                    _ if self.sick || nature.hopeless => Fate::Fails(FailureKind::Error),
                    0..=2 => Fate::Fails(FailureKind::Error),
                    3 => Fate::Fails(FailureKind::Panic),
                    4..=5 => Fate::Hangs,
                    _ => Fate::Ok,
                };
                self.running = Some(Run { id, attempt, fate });
            }
            Frame::Resume => self.jobs_retracted = false,
            Frame::End if self.deaf && !nature.obedient => {}
            Frame::End => self.die(Status::Code(0)),
        }
    }

    /// The supervisor reads replies that it has written.
    fn be_heard(&mut self, nature: &Nature, chance: &mut Chance) {
        if self.broken.is_some() || self.closed {
            return;
        }
        let count = if chance.one_in(3) { 1 } else { self.pipe.len() };
        let replies = self.pipe.drain(..count).collect();
        let memory = (nature.sampled && chance.one_in(4)).then(|| {
            let bytes = chance.below(100);
            Memory { resident_bytes: bytes, peak_bytes: bytes }
        });
        self.news.push_back(News::Replies { replies, memory, printed: false });
    }

    fn lie(&mut self, chance: &mut Chance) {
        self.lied = true;
        let nonsense = Reply {
            id: chance.below(60),
            attempt: 1,
            service_ns: chance.draw(),
            answer: Answer::Done(Payload::copy(b"nonsense")),
        };
        match chance.below(6) {
            5 => self.close(),
            0 => self.break_off(ProtocolFault::Garbage),
            1 => self.started = chance.below(20),
            2 => self.jobs_retracted = !self.jobs_retracted,
            3 if !self.pipe.is_empty() => self.pipe.push(self.pipe[0].clone()),
            _ => self.pipe.push(nonsense),
        }
    }

    /// It breaks the protocol. Replies that it wrote before still count.
    fn break_off(&mut self, fault: ProtocolFault) {
        self.lied = true;
        if self.closed || self.broken.replace(fault).is_some() {
            return;
        }
        self.drain();
        self.news.push_back(News::Broken(fault));
    }

    /// It closes the pipe of its replies. Replies that it wrote before still count.
    fn close(&mut self) {
        if self.broken.is_some() || std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.drain();
        self.news.push_back(News::Closed(Pipe::Replies));
    }

    fn drain(&mut self) {
        let replies = std::mem::take(&mut self.pipe);
        if !replies.is_empty() {
            self.news.push_back(News::Replies { replies, memory: None, printed: false });
        }
    }

    /// Its jobs are retracted, and its replies are read from the pipe and from its buffer.
    pub(super) fn retract_jobs(&mut self, chance: &mut Chance) {
        if self.noticed {
            return;
        }
        if self.jobs_retracted {
            self.news.push_back(News::Retracted { replies: Vec::new(), started: None });
            return;
        }
        self.jobs_retracted = true;
        let mut replies = std::mem::take(&mut self.pipe);
        match self.broken {
            Some(fault) => {
                self.news.push_back(News::Retracted { replies: Vec::new(), started: None });
                self.news.push_back(News::Broken(fault));
                return;
            }
            // It has just written its buffer, so these replies arrive by the pipe.
            None if chance.one_in(8) => self.pipe.append(&mut self.tail),
            None => replies.append(&mut self.tail),
        }
        self.news.push_back(News::Retracted { replies, started: Some(self.started) });
    }

    /// The pool learns how much memory it has.
    pub(super) fn measured(&mut self, bytes: u64, max: u64) {
        let base = *self.base_bytes.get_or_insert(bytes);
        self.is_large = bytes >= max.max(base + base / 4);
    }

    /// Whether it does nothing more unless it is sent a frame or a signal.
    pub(super) fn is_quiet(&self) -> bool {
        let idle = self.running.is_none() && self.inbox.is_empty() && self.tail.is_empty();
        let heard = self.news.is_empty() && self.pipe.is_empty();
        let stays = self.end.is_none() && self.asked.is_none() && !self.killed;
        idle && heard && stays && self.executed && self.spoken
    }
}

/// The reply to a job.
pub(super) fn answer(id: u64) -> Payload {
    Payload::copy(format!("done {id}").as_bytes())
}
