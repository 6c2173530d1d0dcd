//! One child process from its start to its reaping: started through the exec helper, watched
//! through a pidfd, signalled together with its group, and examined before it is reaped.

use std::{
    cell::Cell,
    io,
    os::fd::{BorrowedFd, OwnedFd},
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use pool::{
    exit::{Evidence, Peak, StartFault, StartStep, Status},
    signal::Signal,
};
use tokio::{
    io::unix::AsyncFd,
    process::{Child, Command},
};

use crate::{
    descriptors::poll_readable,
    proc::{OomWatch, Stat, oom_kills},
    signals::KillScope,
    spawn::{HelperMessage, SentSpec, SpawnSpec, exec_helper::VERB},
    wait::{self, Exit, examine, pidfd, signal_process},
};

/// A child process.
#[derive(Debug)]
pub struct Process {
    handle: ProcessHandle,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    /// The connection to the exec helper, until the program is executed.
    helper: Option<SentSpec>,
    /// Usage of the images before the program, which the kernel counts as the program's.
    inherited_peak_kib: u64,
    inherited_cpu: Duration,
    began: Instant,
    oom_kills_before: u64,
}

/// The right to signal a process, and its group where the kill scope includes that. The right ends
/// with the reaping, after which the number may belong to another process.
#[derive(Clone, Debug)]
pub struct ProcessHandle {
    pid: Rc<Cell<Option<i32>>>,
    scope: KillScope,
    was_signalled: Rc<Cell<bool>>,
}

impl ProcessHandle {
    /// The process id; `None` once the process is reaped.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid.get()
    }

    /// Whether this program has signalled the process.
    #[must_use]
    pub fn was_signalled(&self) -> bool {
        self.was_signalled.get()
    }

    /// Whether the process has ended. The kernel knows that before the runtime has looked.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.pid.get().is_none_or(wait::has_ended)
    }

    /// Signals the process, unless it is reaped.
    pub fn signal(&self, signal: Signal) {
        self.was_signalled.set(true);
        if let Some(pid) = self.pid.get() {
            self.scope.signal(pid, signal);
        }
    }

    /// Sends a signal of a user to the process alone, and not to its group.
    ///
    /// # Errors
    /// The process is gone, or the system refused it.
    pub fn signal_leader(&self, signal: Signal) -> io::Result<()> {
        // The number is that of the process until it is reaped, which ends this right.
        let pid = self.pid.get().ok_or_else(|| io::Error::from(nix::Error::ESRCH))?;
        signal_process(pidfd(pid)?, signal)
    }

    /// Asks the process to end, unless it is reaped, and wakes it if it is stopped.
    pub fn ask(&self, stop_signal: Signal) {
        self.was_signalled.set(true);
        if let Some(pid) = self.pid.get() {
            self.scope.request_stop(pid, stop_signal);
        }
    }
}

impl Process {
    /// Starts a process that will execute what `spec` says, with the `passed` descriptors.
    ///
    /// Must be called on the first thread of this process: the parent-death signal is sent when the
    /// *thread* ends that started the child.
    ///
    /// # Errors
    /// There are no processes or no descriptors left.
    pub fn start(
        spec: &SpawnSpec,
        passed: &[BorrowedFd<'_>],
        stdout: Stdio,
        stderr: Stdio,
        scope: KillScope,
    ) -> Result<Self, StartFault> {
        Self::try_start(spec, passed, stdout, stderr, scope)
            .map_err(|error| StartFault::new(StartStep::Spawn, &error))
    }

    fn try_start(
        spec: &SpawnSpec,
        passed: &[BorrowedFd<'_>],
        stdout: Stdio,
        stderr: Stdio,
        scope: KillScope,
    ) -> io::Result<Self> {
        let began = Instant::now();
        // The specification is sent before the spawn, so that the helper need not wait for it.
        let (sent, helper_end) = SentSpec::send(spec, passed)?;
        let mut child = Command::new("/proc/self/exe")
            .arg(VERB)
            .env_clear()
            .stdin(helper_end)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::Other)?;
        let pidfd = match pidfd(pid).and_then(poll_readable) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // The runtime reaps a child that is dropped.
                let _ = child.start_kill();
                return Err(error);
            }
        };
        let pid = Rc::new(Cell::new(Some(pid)));
        Ok(Self {
            handle: ProcessHandle { pid, scope, was_signalled: Rc::default() },
            child,
            pidfd,
            helper: Some(sent),
            inherited_peak_kib: 0,
            inherited_cpu: Duration::ZERO,
            began,
            oom_kills_before: oom_kills(),
        })
    }

    /// The process id; `None` once the process is reaped.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.handle.pid()
    }

    /// A handle for signalling the process.
    #[must_use]
    pub fn handle(&self) -> ProcessHandle {
        self.handle.clone()
    }

    /// Waits until the program is executed.
    ///
    /// # Errors
    /// The step that failed. The process is still to be reaped.
    pub async fn executed(&mut self) -> Result<(), StartFault> {
        let Some(helper) = self.helper.take() else { return Ok(()) };
        // A helper that dies sends no message.
        let messages = helper.messages().await.unwrap_or_default();
        let mut executed = Err(StartFault { step: StartStep::Receive, errno: 0 });
        for message in messages {
            match message {
                HelperMessage::Ready { inherited_peak_kib, inherited_cpu_us } => {
                    self.inherited_peak_kib = inherited_peak_kib;
                    self.inherited_cpu = Duration::from_micros(inherited_cpu_us);
                    executed = Ok(());
                }
                HelperMessage::Failed(fault) => executed = Err(fault),
            }
        }
        executed
    }

    /// Waits until the program is executed. If a step failed, waits for the end of the process and
    /// reaps it.
    ///
    /// # Errors
    /// The step that failed. There is no process then.
    pub async fn executed_or_reaped(&mut self) -> Result<(), StartFault> {
        let executed = self.executed().await;
        if executed.is_err() {
            // The helper exits as soon as it has reported the fault, or is dead already.
            let _ = self.ended().await;
            self.reap().await;
        }
        executed
    }

    /// Waits until the process has ended. The process is then a zombie, and its group can still be
    /// signalled.
    ///
    /// # Errors
    /// Other code in this process has reaped it.
    pub async fn ended(&self) -> io::Result<Exit> {
        loop {
            let mut ready = self.pidfd.readable().await?;
            match examine(&self.pidfd)? {
                Some(exit) => return Ok(exit),
                None => ready.clear_ready(),
            }
        }
    }

    /// Kills what is left of the group, where the kill scope includes that, and reaps the process.
    pub async fn reap(&mut self) {
        // The number of the group belongs to the unreaped process, so this hits no other group.
        self.handle.signal(Signal::KILL);
        self.handle.pid.set(None);
        // An error means that the process is reaped already.
        let _ = self.child.wait().await;
    }

    /// Collects the evidence of how the process ended, which must be done before it is reaped.
    /// `says_out_of_memory` is what its last output says.
    #[must_use]
    pub fn evidence(&self, exit: Exit, says_out_of_memory: bool, oom: &OomWatch) -> Evidence {
        let cpu = exit.cpu.saturating_sub(self.inherited_cpu);
        let killed = matches!(exit.status, Status::Signal { signal: Signal::KILL, .. });
        let own_cpu = self.pid().and_then(Stat::read).and_then(|stat| stat.cpu_time());
        Evidence {
            status: exit.status,
            wall: self.began.elapsed(),
            cpu,
            own_cpu: own_cpu.unwrap_or(cpu),
            peak: Peak {
                bytes: exit.peak_kib.max(self.inherited_peak_kib) * 1024,
                exact: exit.peak_kib > self.inherited_peak_kib,
            },
            says_out_of_memory,
            kernel_oom: killed && oom.may_have_killed(self.oom_kills_before),
            left: Vec::new(),
        }
    }
}
