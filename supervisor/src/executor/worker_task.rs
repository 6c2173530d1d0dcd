//! Runs one worker from its start to its end, as a task of the runtime.
//!
//! # The end of a worker
//!
//! A worker may die at any instruction. The order of these steps makes sure that none of its
//! messages is lost and that no signal hits another process:
//!
//! 1. The pidfd becomes readable. The process is now a zombie: it executes nothing more, and the
//!    kernel keeps its pid, its exit status and its resource usage until it is reaped.
//! 2. The task examines the zombie without reaping it. The usage and the entries in `/proc` are
//!    evidence, and reaping would discard them.
//! 3. The task aborts the reply reader and reads the rest of the reply pipe and the recorder. A
//!    dead process writes nothing more, so its messages are now complete, and the recorder names
//!    the job that it ran last.
//! 4. The task kills the processes that the worker left behind. It finds them by a variable in
//!    their environment, or by their session, whose number is the pid of the worker. While the
//!    zombie holds that pid, the kernel gives it to no other process.
//! 5. The task kills the process group, whose number is the same pid, and reaps the worker. From
//!    here on the pid may belong to another process, and nothing signals it again.
//! 6. The task forwards the last output. The processes that could add to it are gone.
//! 7. The task sends [`News::Ended`]. The pool may start the next worker.

use std::rc::Rc;

use tokio::{net::unix::pipe::Receiver, task::spawn_local};

use super::{
    connection::Connection,
    event_queue::NewsSender,
    output::OutputStream,
    reply_reader::{Channels, ReplyReader},
};
use crate::sink::{Origin, Outlet, Stream};
use pool::{
    Jitter, News, Remains,
    event::WorkerId,
    exit::{ProcessEnd, says_out_of_memory},
};
use process::Process;
use process::{proc::OomWatch, tree::Orphans};

/// A worker's process, its pipes, and what the task needs to watch them.
pub(super) struct WorkerTask {
    pub(super) worker: WorkerId,
    pub(super) process: Process,
    pub(super) stdout: Receiver,
    pub(super) stderr: Receiver,
    /// `None` for a worker that takes no jobs.
    pub(super) connection: Option<Rc<Connection>>,
    pub(super) outlet: Rc<Outlet>,
    /// Whether a memory limit applies, which makes the end of the output evidence.
    pub(super) memory_limited: bool,
    /// Whether a limit or a recycling rule depends on the worker's memory.
    pub(super) recycle_bytes: Option<u64>,
    pub(super) oom: Rc<OomWatch>,
    pub(super) news: Rc<NewsSender>,
    /// `None` where processes that the worker leaves behind are left alone.
    pub(super) orphans: Option<Rc<Orphans>>,
    /// Randomness for the delay before the next start.
    pub(super) jitter: Jitter,
}

impl WorkerTask {
    /// Runs until the end of the worker has been reported. A worker that the pool no longer
    /// listens to is watched all the same, because its process must be reaped.
    pub(super) async fn run(self) {
        let Self { worker, mut process, connection, outlet, news, orphans, .. } = self;
        let pid = process.pid();
        let origin = |stream| Origin { worker, pid: pid.unwrap_or_default(), stream, job: None };
        let keeps_tail = connection.is_some() || self.memory_limited;
        let open = |pipe, stream| {
            let (outlet, connection) = (Rc::clone(&outlet), connection.clone());
            Rc::new(OutputStream::new(pipe, origin(stream), outlet, keeps_tail, connection))
        };
        let output = [open(self.stdout, Stream::Stdout), open(self.stderr, Stream::Stderr)];

        let (mut end, left) = match process.executed().await {
            Ok(()) => {
                let pid = pid.unwrap_or_default();
                news.send(News::Executed { pid });
                // The start is reported before the first line of output.
                news.all_handled().await;
                let channels = connection.map(|connection| {
                    let (output, news) = (output.clone(), Rc::clone(&news));
                    Channels { worker, pid, connection, output, outlet, news }
                });
                supervise(&process, &output, channels, self.recycle_bytes, &self.oom).await
            }
            Err(fault) => {
                // The process has reported the fault and exits at once, or is dead already.
                let _ = process.ended().await;
                (ProcessEnd::NeverStarted(fault), Remains::default())
            }
        };
        if let (Some(orphans), Some(pid)) = (&orphans, pid) {
            let names = orphans.kill_left_by(worker, pid, process.handle().was_signalled()).await;
            if let ProcessEnd::Ended(evidence) = &mut end {
                evidence.left = names;
            }
        }
        process.reap().await;
        if let (Some(orphans), Some(pid)) = (&orphans, pid) {
            orphans.remove_worker(pid);
        }
        output.iter().for_each(OutputStream::finish);
        news.send(News::Ended { pid, end, remains: left, jitter: self.jitter });
    }
}

/// Forwards the replies and the output of a worker until it is dead. Returns how it ended and
/// what it left of its jobs.
async fn supervise(
    process: &Process,
    output: &[Rc<OutputStream>; 2],
    channels: Option<Channels>,
    recycle_bytes: Option<u64>,
    oom: &OomWatch,
) -> (ProcessEnd, Remains) {
    let reader = channels
        .clone()
        .map(|channels| spawn_local(ReplyReader::new(channels, recycle_bytes).run()));
    let [stdout, stderr] = output;
    let exit = loop {
        tokio::select! {
            exit = process.ended() => break exit,
            () = stdout.forward() => {}
            () = stderr.forward() => {}
        }
    };
    let end = match exit {
        Ok(exit) => {
            let tails = [stdout.tail(), stderr.tail()];
            let says_so = says_out_of_memory([&tails[0], &tails[1]]);
            ProcessEnd::Ended(process.evidence(exit, says_so, oom))
        }
        Err(error) => ProcessEnd::Unobserved { errno: error.raw_os_error().unwrap_or(0) },
    };
    if let Some(reader) = reader {
        // This loses nothing: all that the reader has read is in the queue already.
        reader.abort();
    }
    (end, channels.map(|channels| channels.finish()).unwrap_or_default())
}
