//! The life of one worker, as the pool hears of it: executed, what it says of jobs, and ended.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::net::unix::pipe::Receiver;

use super::{
    inbox::{Inbox, Share},
    incoming::Heard,
    line::Line,
    process::Process,
    relay::Relay,
};
use crate::{
    event::WorkerId,
    exit::{Evidence, ProtocolFault, StartFault, StartStep},
    os::procfs::{self, OomWatch},
    pool::{Input, Jitter, Left, Memory, News, Reply},
    sink::{Held, Origin, Outlet, Stream},
};

/// After short jobs a worker's memory is looked at no more often than this.
const MEMORY_LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a job of 10 ms a look at its worker's memory, of some 20 us, is no great price.
const LONG_JOB_NS: u64 = 10_000_000;

/// A worker's process and its output.
pub(super) struct Life {
    pub(super) worker: WorkerId,
    pub(super) process: Process,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
    /// Where it takes jobs.
    pub(super) line: Option<Rc<Line>>,
    pub(super) outlet: Rc<Outlet>,
    /// Whether a limit is in force that makes its last words evidence.
    pub(super) memory_limited: bool,
    /// Whether something depends on its memory.
    pub(super) watches_memory: bool,
    pub(super) oom: Rc<OomWatch>,
    pub(super) share: Rc<Share>,
}

impl Life {
    /// Lives it, telling the pool. One that the pool no longer hears is lived all the same: its
    /// process must be reaped.
    pub(super) async fn live(self, inbox: Rc<Inbox>, jitter: Jitter) {
        let Self { worker, mut process, stdout, stderr, line, outlet, oom, share, .. } = self;
        let tell = |news| {
            share.add();
            inbox.put(Input::Worker { worker, news });
        };
        let pid = process.pid();
        let origin = |stream| Origin { worker, pid: pid.unwrap_or_default(), stream, job: None };
        let relay = |pipe, stream, keeps| {
            Relay::new(pipe, origin(stream), Rc::clone(&outlet), keeps, line.clone())
        };
        let stdout = relay(stdout, Stream::Stdout, line.is_some());
        let stderr = relay(stderr, Stream::Stderr, line.is_some() || self.memory_limited);
        let relays = [&stdout, &stderr];

        let mut left = Left::default();
        let end = match process.executed().await {
            Ok(()) => {
                tell(News::Executed { pid: pid.unwrap_or_default() });
                // So that its start is told before its first line.
                share.dealt_with().await;
                let ended = until_ended(&process, relays, &oom);
                match &line {
                    None => ended.await,
                    Some(line) => {
                        let ear = Ear {
                            worker,
                            pid,
                            line,
                            relays,
                            outlet: &outlet,
                            share: &share,
                            watches_memory: self.watches_memory,
                            looked: Cell::new(None),
                        };
                        let end = tokio::select! {
                            // What it said before it ended is heard before that.
                            biased;
                            never = ear.listen(&inbox) => match never {},
                            end = ended => end,
                        };
                        left = ear.last();
                        end
                    }
                }
            }
            Err(fault) => {
                // It says why and exits at once, or is dead already.
                let _ = process.ended().await;
                Err(fault)
            }
        };
        // Before its last output: what it left behind in its group shall not add to that.
        process.reap().await;
        stdout.finish();
        stderr.finish();
        tell(News::Ended { pid, end, left, jitter });
    }
}

/// Passes its output on until the process has ended.
async fn until_ended(
    process: &Process,
    [stdout, stderr]: [&Relay; 2],
    oom: &OomWatch,
) -> Result<Evidence, StartFault> {
    let exit = loop {
        tokio::select! {
            exit = process.ended() => break exit,
            () = stdout.pass_on() => {}
            () = stderr.pass_on() => {}
        }
    };
    match exit {
        Ok(exit) => Ok(process.evidence(exit, stderr.says_out_of_memory(), oom)),
        // Reaped by a stranger: there is no evidence to be had.
        Err(error) => Err(StartFault::new(StartStep::Spawn, &error)),
    }
}

/// What hears a worker's replies.
struct Ear<'a> {
    worker: WorkerId,
    pid: Option<i32>,
    line: &'a Line,
    relays: [&'a Relay; 2],
    outlet: &'a Outlet,
    share: &'a Share,
    watches_memory: bool,
    looked: Cell<Option<Instant>>,
}

impl Ear<'_> {
    /// Tells the pool what it says, for as long as it speaks the protocol.
    async fn listen(&self, inbox: &Inbox) -> std::convert::Infallible {
        let mut said_output = false;
        loop {
            self.share.room().await;
            if said_output {
                // As for what it writes to its own streams: a flood stalls only who makes it.
                self.outlet.room().await;
            }
            let mut heard = Heard::default();
            let said = self.line.hear(&mut heard).await;
            self.relays.iter().for_each(|relay| relay.catch_up());
            said_output = !heard.output.is_empty();
            self.tell(inbox, heard);
            if let Err(fault) = said {
                self.put(inbox, News::Broken(fault));
                std::future::pending::<()>().await;
            }
        }
    }

    fn tell(&self, inbox: &Inbox, heard: Heard) {
        self.declared(&heard);
        if let Some(abilities) = heard.hello {
            self.put(inbox, News::Hello(abilities));
        }
        if !heard.replies.is_empty() {
            self.line.answered(heard.replies.len());
            self.relays.iter().for_each(|relay| relay.forget_last_words());
            let memory = self.look_at_memory(&heard.replies);
            self.put(inbox, News::Replies { replies: heard.replies, memory });
        }
    }

    fn put(&self, inbox: &Inbox, news: News) {
        self.share.add();
        inbox.put(Input::Worker { worker: self.worker, news });
    }

    /// Passes on what the worker itself says is a job's output.
    fn declared(&self, heard: &Heard) {
        for (id, stream, bytes) in &heard.output {
            let stream = if *stream == 1 { Stream::Stdout } else { Stream::Stderr };
            let (worker, pid) = (self.worker, self.pid.unwrap_or_default());
            let origin = Origin { worker, pid, stream, job: Some(*id) };
            let mut held = Held::default();
            self.outlet.output(origin, bytes, &mut held);
            self.outlet.output_ended(origin, &mut held);
        }
    }

    /// After each long job, and where something depends on it now and then after short ones.
    fn look_at_memory(&self, replies: &[Reply]) -> Option<Memory> {
        let is_long = replies.last().is_some_and(|reply| reply.service_ns >= LONG_JOB_NS);
        let looked_lately = || self.looked.get().is_some_and(|at| at.elapsed() < MEMORY_LOOK_EVERY);
        if !is_long && (!self.watches_memory || looked_lately()) {
            return None;
        }
        if self.watches_memory {
            self.looked.set(Some(Instant::now()));
        }
        let [resident_bytes, peak_bytes] = procfs::memory(self.pid?)?;
        Some(Memory { resident_bytes, peak_bytes })
    }

    /// What it left when it ended.
    fn last(&self) -> Left {
        let mut heard = Heard::default();
        let output = self.relays.map(Relay::last_words).concat();
        let (started, said) = self.line.finish(&mut heard);
        self.relays.iter().for_each(|relay| relay.catch_up());
        self.declared(&heard);
        let broken: Option<ProtocolFault> = said.err();
        Left { replies: heard.replies, started, broken, output }
    }
}
