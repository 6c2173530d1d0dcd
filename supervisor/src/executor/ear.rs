//! Who hears what a worker says of its jobs? A task of its own, since that is what happens most:
//! nothing else of the worker's life need be looked at for it.

use std::{
    cell::Cell,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::task::{JoinHandle, spawn_local};

use super::{
    inbox::{Inbox, Share},
    incoming::Heard,
    line::Line,
    relay::Relay,
};
use crate::sink::Outlet;
use pool::{Input, Left, Memory, News, Reply, event::WorkerId, exit::Pipe};
use process::proc;

/// After short jobs a worker's memory is looked at no more often than this.
const MEMORY_LOOK_EVERY: Duration = Duration::from_millis(100);
/// After a job of 10 ms a look at its worker's memory, of some 20 us, is no great price.
const LONG_JOB_NS: u64 = 10_000_000;

/// Whom it listens to, and who is told.
pub(super) struct Speaker {
    pub(super) worker: WorkerId,
    pub(super) pid: i32,
    pub(super) line: Rc<Line>,
    pub(super) relays: [Rc<Relay>; 2],
    pub(super) outlet: Rc<Outlet>,
    pub(super) share: Rc<Share>,
    pub(super) inbox: Rc<Inbox>,
    /// Whether something depends on its memory.
    pub(super) watches_memory: bool,
    /// When that was last looked at.
    pub(super) looked: Cell<Option<Instant>>,
}

/// Listens to a worker until it is closed.
pub(super) struct Ear {
    speaker: Rc<Speaker>,
    task: JoinHandle<()>,
}

impl Ear {
    pub(super) fn open(speaker: Speaker) -> Self {
        let speaker = Rc::new(speaker);
        let told = Rc::clone(&speaker);
        speaker.line.watch(move || told.put(News::Closed(Pipe::Jobs)));
        let task = spawn_local(Rc::clone(&speaker).listen());
        Self { speaker, task }
    }

    /// The worker has ended: hears the last of it.
    pub(super) fn close(self) -> Left {
        // It waits, or has what it heard in the inbox already: nothing is lost.
        self.task.abort();
        self.speaker.last()
    }
}

impl Speaker {
    /// Tells the pool what it says, for as long as it speaks the protocol.
    async fn listen(self: Rc<Self>) {
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
            if self.line.has_waiting() {
                self.relays.iter().for_each(|relay| relay.note_running());
            }
            said_output = !heard.output.is_empty();
            self.tell(heard);
            match said {
                Some(Ok(())) => {}
                Some(Err(fault)) => return self.put(News::Broken(fault)),
                None => return self.put(News::Closed(Pipe::Replies)),
            }
        }
    }

    fn tell(&self, heard: Heard) {
        self.heard_beside(&heard);
        if let Some(abilities) = heard.hello {
            // What it printed while it started is about no job.
            self.relays.iter().for_each(|relay| relay.forget_last_words());
            self.put(News::Hello(abilities));
        }
        if !heard.replies.is_empty() {
            self.line.answered(heard.replies.len());
            let printed = self.relays.iter().any(|relay| relay.has_last_words());
            self.relays.iter().for_each(|relay| relay.forget_last_words());
            let memory = self.look_at_memory(&heard.replies);
            self.put(News::Replies { replies: heard.replies, memory, printed });
        }
    }

    /// What it said of jobs besides that they have ended.
    fn heard_beside(&self, heard: &Heard) {
        self.line.doer.note(heard, self.pid);
        self.outlet.declared(self.worker, self.pid, &heard.output);
    }

    fn put(&self, news: News) {
        self.share.add();
        self.inbox.put(Input::Worker { worker: self.worker, news });
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
        let [resident_bytes, peak_bytes] = proc::memory(self.pid)?;
        Some(Memory { resident_bytes, peak_bytes })
    }

    /// What it left when it ended.
    fn last(&self) -> Left {
        let mut heard = Heard::default();
        let output = self.relays.each_ref().map(|relay| relay.last_words()).concat();
        let (started, said) = self.line.finish(&mut heard);
        let spoke = heard.hello.is_some();
        self.relays.iter().for_each(|relay| relay.catch_up());
        self.heard_beside(&heard);
        self.line.doer.end();
        Left { spoke, replies: heard.replies, started, broken: said.err(), output }
    }
}
