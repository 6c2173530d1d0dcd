//! A running supervisor: finds its processes, and kills all of them at the end.

use std::{
    os::unix::process::ExitStatusExt,
    process::{Child, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{Fault, procfs, reader::Output};

/// The longest time that processes of an ended run may take to disappear.
const CLEANUP_MAX: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(2);

/// One run of the supervisor.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    supervisor: Option<i32>,
    mark: String,
    output: Option<Output>,
}

/// How the run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum End {
    Code(i32),
    Signal(i32),
}

impl Running {
    pub(crate) fn new(child: Child, output: Output, mark: String) -> Self {
        Self { child, supervisor: None, mark, output: Some(output) }
    }

    pub(crate) fn end(&mut self) -> Result<Option<End>, Fault> {
        let status = self.child.try_wait()?;
        Ok(status.and_then(how))
    }

    /// The process that this program started.
    pub(crate) fn warden(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The warden's first child, once it exists.
    pub(crate) fn supervisor(&mut self) -> Option<i32> {
        if self.supervisor.is_none() {
            self.supervisor = procfs::children(self.warden()).first().copied();
        }
        self.supervisor
    }

    /// The workers, and the processes that are about to become workers.
    pub(crate) fn workers(&mut self) -> Vec<i32> {
        self.supervisor().map_or_else(Vec::new, procfs::children)
    }

    /// After the end of the run: waits for its processes to disappear, and returns those that are
    /// left although they may not stay.
    pub(crate) fn left(&self, may_stay: impl Fn(&str) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let all = procfs::marked(&self.mark).into_iter();
            let all = all.map(|pid| format!("{pid} {}", procfs::command(pid)));
            let left: Vec<_> = all.filter(|process| !may_stay(process)).collect();
            if left.is_empty() || begun.elapsed() > CLEANUP_MAX {
                return left;
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    /// Kills every process that could still write, and returns the output.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Fault> {
        self.end_all();
        Ok(self.output.take().map_or_else(|| Ok(Vec::new()), Output::finish)?)
    }

    fn end_all(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        Self::kill_marked(&self.mark);
    }

    /// Kills all processes with this mark.
    fn kill_marked(mark: &str) {
        let begun = Instant::now();
        loop {
            let left = procfs::marked(mark);
            if left.is_empty() || begun.elapsed() > CLEANUP_MAX {
                return;
            }
            left.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
            thread::sleep(POLL_INTERVAL);
        }
    }
}

/// Kills all processes of the run, so that an error leaves none behind.
impl Drop for Running {
    fn drop(&mut self) {
        self.end_all();
    }
}

fn how(status: ExitStatus) -> Option<End> {
    status.code().map(End::Code).or_else(|| status.signal().map(End::Signal))
}

/// Sends a signal. A process that has already ended is not an error.
pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}
