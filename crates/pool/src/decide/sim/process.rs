//! A simulated process. It lives in steps as small as the places at which it can die: it reads a
//! frame, starts a job, ends it, writes the reply.

use std::collections::{BTreeSet, VecDeque};

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

/// What becomes of a running job.
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

/// A job in flight, as far as the pool can know.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent {
    pub(super) nth: u64,
    pub(super) id: u64,
    pub(super) attempt: u32,
}

/// A process of the simulated world.
#[derive(Debug, Default)]
pub(super) struct Process {
    /// The kernel holds it: no signal ends it.
    pub(super) held: bool,
    /// It never says hello.
    silent: bool,
    /// It ignores the stop signal and the end of its jobs.
    deaf: bool,
    /// It does not read what it is sent, like a process that is stopped.
    blind: bool,
    /// It may lie.
    vile: bool,
    /// It has lied: its replies may be wrong.
    pub(super) lied: bool,
    /// The job that it runs and that was cancelled.
    pub(super) cancelled: Option<u64>,
    /// The looks that were taken: at which job, since when that ran, and whether its time was over.
    pub(super) examined: BTreeSet<(u64, Tick, bool)>,
    pub(super) abilities: Abilities,

    pub(super) executed: bool,
    pub(super) spoken: bool,
    inbox: VecDeque<Frame>,
    /// Job frames that it has read.
    came: u64,
    /// The last job that it started, by its recorder.
    pub(super) started: u64,
    recalled: bool,
    pub(super) running: Option<Run>,
    cancel: Option<u64>,
    /// Replies that it has not written.
    pub(super) tail: Vec<Reply>,
    /// Replies that it has written and the supervisor has not read.
    pub(super) pipe: Vec<Reply>,
    pub(super) broken: Option<ProtocolFault>,
    /// It has closed the pipe of its replies.
    closed: bool,
    pub(super) end: Option<ProcessEnd>,
    pub(super) noticed: bool,
    /// News that the pool has not heard yet.
    pub(super) news: VecDeque<News>,

    /// The pool has heard that it is executed.
    pub(super) heard: bool,
    pub(super) ready: bool,
    pub(super) fault_heard: bool,
    pub(super) closed_heard: bool,
    pub(super) retracted: bool,
    /// The pool has heard that it holds too much memory.
    pub(super) heavy: bool,
    /// A user wants it to be killed.
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
    pub(super) recall_asked: bool,
    /// Its jobs were retracted, and the one that it runs is to end before it gets another.
    pub(super) stalled: bool,
    /// Its jobs were retracted, it had started none, and it was not heard of since: since when, and
    /// when it was last looked at.
    pub(super) asleep: Option<(Tick, Tick)>,
    /// Stale jobs were declared forgotten, and nothing was heard of it since.
    pub(super) resumed: bool,
    pub(super) overdue: Option<u64>,
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
            abilities: Abilities { recorder: !chance.one_in(4), cancels: chance.one_in(2) },
            ..Self::default()
        }
    }

    pub(super) fn read(&mut self, frame: Frame) {
        self.inbox.push_back(frame);
    }

    pub(super) fn hear_cancel(&mut self, id: u64) {
        self.cancel = Some(id);
    }

    /// One small step of its life.
    pub(super) fn live(&mut self, nature: &Nature, chance: &mut Chance) {
        let tame = nature.obedient;
        self.blind &= !chance.one_in(100);
        if self.end.is_some() {
            self.notice(nature, chance);
        } else if self.held && !tame {
            // No signal moves it.
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
            _ if chance.one_in(3) => return,
            Fate::Ok => done(run.id),
            Fate::Fails(kind) => failure(kind),
        };
        let answer = if nature.launches { ran(&answer, cancelled) } else { answer };
        let service_ns = chance.pick(&[0, 1000, 50_000, 300_000, 5_000_000]);
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
                if self.abilities.recorder && self.recalled {
                    return;
                }
                self.started = self.came;
                let fate = match chance.below(nature.trouble.saturating_mul(2)) {
                    _ if nature.obedient => Fate::Ok,
                    0..=2 => Fate::Fails(FailureKind::Error),
                    3 => Fate::Fails(FailureKind::Panic),
                    4..=5 => Fate::Hangs,
                    _ => Fate::Ok,
                };
                self.running = Some(Run { id, attempt, fate });
            }
            Frame::Resume => self.recalled = false,
            Frame::End if self.deaf && !nature.obedient => {}
            Frame::End => self.die(Status::Code(0)),
        }
    }

    /// The supervisor reads what it has written.
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
            2 => self.recalled = !self.recalled,
            3 if !self.pipe.is_empty() => self.pipe.push(self.pipe[0].clone()),
            _ => self.pipe.push(nonsense),
        }
    }

    /// It breaks the protocol. What it wrote before counts.
    fn break_off(&mut self, fault: ProtocolFault) {
        self.lied = true;
        if self.closed || self.broken.replace(fault).is_some() {
            return;
        }
        self.drain();
        self.news.push_back(News::Broken(fault));
    }

    /// It closes the pipe of its replies. What it wrote before counts.
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

    /// Its jobs are retracted, and its replies are collected from wherever they are.
    pub(super) fn recall(&mut self, chance: &mut Chance) {
        if self.noticed {
            return;
        }
        if self.recalled {
            self.news.push_back(News::Retracted { replies: Vec::new(), started: None });
            return;
        }
        self.recalled = true;
        let mut replies = std::mem::take(&mut self.pipe);
        match self.broken {
            Some(fault) => {
                self.news.push_back(News::Retracted { replies: Vec::new(), started: None });
                self.news.push_back(News::Broken(fault));
                return;
            }
            // It has just written the rest: the pipe brings them.
            None if chance.one_in(8) => self.pipe.append(&mut self.tail),
            None => replies.append(&mut self.tail),
        }
        self.news.push_back(News::Retracted { replies, started: Some(self.started) });
    }

    /// Whether nothing more comes of it unless something is done to it.
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
