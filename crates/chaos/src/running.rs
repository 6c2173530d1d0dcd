//! A supervisor under way: what of it is to be found, and that nothing of it stays.

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

/// Nothing that is over takes so long to be gone.
const PATIENCE: Duration = Duration::from_secs(15);
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// One run of the supervisor.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    supervisor: Option<i32>,
    mark: String,
    output: Option<Output>,
}

/// How it ended.
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

    /// Whom we started.
    pub(crate) fn warden(&self) -> i32 {
        self.child.id().cast_signed()
    }

    /// The warden's first child, once it is there.
    pub(crate) fn supervisor(&mut self) -> Option<i32> {
        if self.supervisor.is_none() {
            self.supervisor = procfs::children(self.warden()).first().copied();
        }
        self.supervisor
    }

    /// Its workers, and those that become workers.
    pub(crate) fn workers(&mut self) -> Vec<i32> {
        self.supervisor().map_or_else(Vec::new, procfs::children)
    }

    /// Once it has ended: who is left of it that should not be, after it had time to see to that.
    pub(crate) fn left(&self, may_stay: impl Fn(&str) -> bool) -> Vec<String> {
        let begun = Instant::now();
        loop {
            let all = procfs::marked(&self.mark).into_iter();
            let all = all.map(|pid| format!("{pid} {}", procfs::command(pid)));
            let left: Vec<_> = all.filter(|who| !may_stay(who)).collect();
            if left.is_empty() || begun.elapsed() > PATIENCE {
                return left;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }

    /// What it put out, once nobody is left who could add to it.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, Fault> {
        self.end_all();
        Ok(self.output.take().map_or_else(|| Ok(Vec::new()), Output::finish)?)
    }

    fn end_all(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        Self::sweep(&self.mark);
    }

    /// All that is left of it, whatever that may be.
    fn sweep(mark: &str) {
        let begun = Instant::now();
        loop {
            let left = procfs::marked(mark);
            if left.is_empty() || begun.elapsed() > PATIENCE {
                return;
            }
            left.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Whatever happens to us, nothing stays.
impl Drop for Running {
    fn drop(&mut self) {
        self.end_all();
    }
}

fn how(status: ExitStatus) -> Option<End> {
    status.code().map(End::Code).or_else(|| status.signal().map(End::Signal))
}

/// One that is gone already need not be told.
pub(crate) fn send(pid: i32, signal: Signal) {
    let _ = kill(Pid::from_raw(pid), signal);
}
