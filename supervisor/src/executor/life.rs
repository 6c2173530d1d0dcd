//! The life of one worker, as the pool hears of it: executed, and ended.

use std::rc::Rc;

use tokio::{
    net::unix::pipe,
    sync::{Notify, mpsc},
};

use super::{process::Process, relay::Relay};
use crate::{
    event::WorkerId,
    exit::{Evidence, StartFault, StartStep},
    os::procfs::OomWatch,
    pool::{Input, Jitter, News},
    sink::{Origin, Outlet, Stream},
};

/// A worker's process and its output.
pub(super) struct Life {
    pub(super) worker: WorkerId,
    pub(super) process: Process,
    pub(super) stdout: pipe::Receiver,
    pub(super) stderr: pipe::Receiver,
    pub(super) outlet: Rc<Outlet>,
    /// Whether a limit is in force that makes its last words evidence.
    pub(super) memory_limited: bool,
    pub(super) oom: Rc<OomWatch>,
    pub(super) heard: Rc<Notify>,
}

impl Life {
    /// Lives it, telling the pool. One that the pool no longer hears is lived all the same: its
    /// process must be reaped.
    pub(super) async fn live(self, inputs: mpsc::Sender<Input>, jitter: Jitter) {
        let Self { worker, mut process, stdout, stderr, outlet, memory_limited, oom, heard } = self;
        let tell = async |news| {
            let _ = inputs.send(Input::Worker { worker, news }).await;
        };
        let pid = process.pid();
        let origin = |stream| Origin { worker, pid: pid.unwrap_or_default(), stream };
        let mut stdout = Relay::new(stdout, origin(Stream::Stdout), Rc::clone(&outlet), false);
        let mut stderr = Relay::new(stderr, origin(Stream::Stderr), outlet, memory_limited);

        let end = match process.executed().await {
            Ok(()) => {
                tell(News::Executed { pid: pid.unwrap_or_default() }).await;
                // So that its start is told before its first line.
                heard.notified().await;
                until_ended(&process, &mut stdout, &mut stderr, &oom).await
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
        tell(News::Ended { pid, end, jitter }).await;
    }
}

/// Passes its output on until the process has ended.
async fn until_ended(
    process: &Process,
    stdout: &mut Relay,
    stderr: &mut Relay,
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
