//! The life of one worker, as the pool hears of it: executed, what it says of jobs, and ended.

use std::{cell::Cell, rc::Rc};

use tokio::net::unix::pipe::Receiver;

use super::{
    ear::{Ear, Speaker},
    inbox::{Inbox, Share},
    line::Line,
    relay::Relay,
    strays::Strays,
};
use crate::sink::{Origin, Outlet, Stream};
use pool::{
    Input, Jitter, Left, News,
    event::WorkerId,
    exit::{ProcessEnd, says_out_of_memory},
};
use process::{Process, proc::OomWatch};

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
    /// Where what it leaves behind ends with it.
    pub(super) strays: Option<Rc<Strays>>,
}

impl Life {
    /// Lives it, telling the pool. One that the pool no longer hears is lived all the same: its
    /// process must be reaped.
    pub(super) async fn live(self, inbox: Rc<Inbox>, jitter: Jitter) {
        let Self { worker, mut process, stdout, stderr, line, outlet, oom, share, strays, .. } =
            self;
        let tell = |news| {
            share.add();
            inbox.put(Input::Worker { worker, news });
        };
        let pid = process.pid();
        let origin = |stream| Origin { worker, pid: pid.unwrap_or_default(), stream, job: None };
        let relay = |pipe, stream, keeps| {
            Rc::new(Relay::new(pipe, origin(stream), Rc::clone(&outlet), keeps, line.clone()))
        };
        let keeps = line.is_some() || self.memory_limited;
        let stdout = relay(stdout, Stream::Stdout, keeps);
        let stderr = relay(stderr, Stream::Stderr, keeps);

        let mut left = Left::default();
        let mut end = match process.executed().await {
            Ok(()) => {
                tell(News::Executed { pid: pid.unwrap_or_default() });
                // So that its start is told before its first line.
                share.dealt_with().await;
                let ear = line.map(|line| {
                    Ear::open(Speaker {
                        worker,
                        pid: pid.unwrap_or_default(),
                        line,
                        relays: [Rc::clone(&stdout), Rc::clone(&stderr)],
                        outlet: Rc::clone(&outlet),
                        share: Rc::clone(&share),
                        inbox: Rc::clone(&inbox),
                        watches_memory: self.watches_memory,
                        looked: Cell::new(None),
                    })
                });
                let end = until_ended(&process, &stdout, &stderr, &oom).await;
                left = ear.map(Ear::close).unwrap_or_default();
                end
            }
            Err(fault) => {
                // It says why and exits at once, or is dead already.
                let _ = process.ended().await;
                ProcessEnd::NeverStarted(fault)
            }
        };
        // Before its last output: what it left behind shall not add to that.
        if let (Some(strays), Some(pid)) = (&strays, pid) {
            let names = strays.end_left_by(worker, pid, process.handle().was_signalled()).await;
            if let ProcessEnd::Ended(evidence) = &mut end {
                evidence.left = names;
            }
        }
        process.reap().await;
        if let (Some(strays), Some(pid)) = (&strays, pid) {
            strays.reaped(pid);
        }
        stdout.finish();
        stderr.finish();
        tell(News::Ended { pid, end, left, jitter });
    }
}

/// Passes its output on until the process has ended.
async fn until_ended(
    process: &Process,
    stdout: &Relay,
    stderr: &Relay,
    oom: &OomWatch,
) -> ProcessEnd {
    let exit = loop {
        tokio::select! {
            exit = process.ended() => break exit,
            () = stdout.pass_on() => {}
            () = stderr.pass_on() => {}
        }
    };
    match exit {
        Ok(exit) => {
            let words = [stdout.last_words(), stderr.last_words()];
            let says_so = says_out_of_memory([&words[0], &words[1]]);
            ProcessEnd::Ended(process.evidence(exit, says_so, oom))
        }
        Err(error) => ProcessEnd::Unobserved { errno: error.raw_os_error().unwrap_or(0) },
    }
}
