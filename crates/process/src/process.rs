//! One child process, from its launch to its reaping: started through the stub, watched through
//! a pidfd, signalled with its group, examined before it is reaped.

use std::{
    cell::Cell,
    io,
    os::{
        fd::{AsRawFd, BorrowedFd, OwnedFd},
        unix::net::UnixStream as StdUnixStream,
    },
    process::Stdio,
    rc::Rc,
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, Interest, unix::AsyncFd},
    net::UnixStream,
    process::{Child, Command},
};

use crate::{
    child::{self, Exit},
    launch::{self, Launch, VERB, Word},
    procfs::{self, OomWatch},
    program::Reach,
};
use pool::{
    exit::{Evidence, Peak, StartFault, StartStep, Status},
    signal::Signal,
};

/// A child process.
#[derive(Debug)]
pub struct Process {
    leader: Leader,
    child: Child,
    pidfd: AsyncFd<OwnedFd>,
    stub: Option<Stub>,
    /// What the program inherits from the images before it, and the kernel counts as its own.
    inherited_peak_kib: u64,
    inherited_cpu: Duration,
    began: Instant,
    oom_kills_before: u64,
}

/// The process while it is a stub: our end of its socket, and what of the launch the socket
/// would not take at once.
#[derive(Debug)]
struct Stub {
    socket: StdUnixStream,
    unsent: Vec<u8>,
}

/// The right to signal a process, and its group where our reach goes so far. It is gone with the
/// reaping, after which the number may be anybody's.
#[derive(Clone, Debug)]
pub struct Leader {
    pid: Rc<Cell<Option<i32>>>,
    reach: Reach,
    was_signalled: Rc<Cell<bool>>,
}

impl Leader {
    /// Its process id, for as long as it is not reaped.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.pid.get()
    }

    /// Whether it was sent a signal of ours.
    #[must_use]
    pub fn was_signalled(&self) -> bool {
        self.was_signalled.get()
    }

    /// Signals it, if it can still be ours.
    pub fn signal(&self, signal: Signal) {
        self.was_signalled.set(true);
        match (self.pid.get(), self.reach) {
            (Some(pid), Reach::Tree | Reach::Group) => child::signal_group(pid, signal),
            (Some(pid), Reach::Leader) => child::signal_child(pid, signal),
            (None, _) => {}
        }
    }

    /// Asks it to end; wakes it too, since a stopped process hears nothing.
    pub fn ask(&self, stop_signal: Signal) {
        self.signal(stop_signal);
        self.signal(Signal::CONT);
    }
}

impl Process {
    /// Starts a process that will execute what `launch` says, carrying the `passed` descriptors
    /// in the places the launch gives them.
    ///
    /// To be called on the process's first thread: a parent-death signal is sent when the
    /// *thread* ends that started the child.
    ///
    /// # Errors
    /// No process or no descriptors to be had.
    pub fn start(
        launch: &Launch,
        passed: &[BorrowedFd<'_>],
        stdout: Stdio,
        stderr: Stdio,
        reach: Reach,
    ) -> Result<Self, StartFault> {
        Self::try_start(launch, passed, stdout, stderr, reach)
            .map_err(|error| StartFault::new(StartStep::Spawn, &error))
    }

    fn try_start(
        launch: &Launch,
        passed: &[BorrowedFd<'_>],
        stdout: Stdio,
        stderr: Stdio,
        reach: Reach,
    ) -> io::Result<Self> {
        let began = Instant::now();
        let (socket, stubs_end) = launch::socket()?;
        let mut unsent = launch.to_frame().map_err(io::Error::other)?;
        // Before the spawn: the stub finds its launch waiting, and the descriptors in it.
        let sent = launch::send(&socket, &unsent, passed)?;
        unsent.drain(..sent);
        let mut child = Command::new("/proc/self/exe")
            .arg(VERB)
            .env_clear()
            .stdin(stubs_end)
            .stdout(stdout)
            .stderr(stderr)
            .spawn()?;
        let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).ok_or(io::ErrorKind::Other)?;
        let pidfd = match child::pidfd(pid).and_then(watch) {
            Ok(pidfd) => pidfd,
            Err(error) => {
                // The runtime reaps what is dropped.
                let _ = child.start_kill();
                return Err(error);
            }
        };
        Ok(Self {
            leader: Leader {
                pid: Rc::new(Cell::new(Some(pid))),
                reach,
                was_signalled: Rc::default(),
            },
            child,
            pidfd,
            stub: Some(Stub { socket, unsent }),
            inherited_peak_kib: 0,
            inherited_cpu: Duration::ZERO,
            began,
            oom_kills_before: procfs::oom_kills(),
        })
    }

    /// Its process id; `None` once it is reaped.
    #[must_use]
    pub fn pid(&self) -> Option<i32> {
        self.leader.pid()
    }

    /// The right to signal it, for as long as there is something to signal.
    #[must_use]
    pub fn leader(&self) -> Leader {
        self.leader.clone()
    }

    /// Waits until the program is executed.
    ///
    /// # Errors
    /// The step that failed. The process is then still to be reaped.
    pub async fn executed(&mut self) -> Result<(), StartFault> {
        let Some(stub) = self.stub.take() else { return Ok(()) };
        // A stub that dies leaves nothing to read, and that is how it is told.
        let said = stub.hear().await.unwrap_or_default();
        let mut executed = Err(StartFault { step: StartStep::Receive, errno: 0 });
        for word in Word::read_all(&said) {
            match word {
                Word::Ready { inherited_peak_kib, inherited_cpu_us } => {
                    self.inherited_peak_kib = inherited_peak_kib;
                    self.inherited_cpu = Duration::from_micros(inherited_cpu_us);
                    executed = Ok(());
                }
                Word::Failed(fault) => executed = Err(fault),
            }
        }
        executed
    }

    /// Waits until the process has ended. It is then a zombie, and its group can be signalled.
    ///
    /// # Errors
    /// Somebody else reaped it.
    pub async fn ended(&self) -> io::Result<Exit> {
        loop {
            let mut ready = self.pidfd.readable().await?;
            match child::examine(&self.pidfd)? {
                Some(exit) => return Ok(exit),
                None => ready.clear_ready(),
            }
        }
    }

    /// Ends whatever is left of its group, where our reach goes so far, and reaps it.
    pub async fn reap(&mut self) {
        // The unreaped leader still pins the number of its group: this hits no stranger.
        self.leader.signal(Signal::KILL);
        self.leader.pid.set(None);
        // What fails here was reaped already.
        let _ = self.child.wait().await;
    }

    /// What is known of its end, before it is reaped; `says_out_of_memory` from its last words.
    #[must_use]
    pub fn evidence(&self, exit: Exit, says_out_of_memory: bool, oom: &OomWatch) -> Evidence {
        let cpu = exit.cpu.saturating_sub(self.inherited_cpu);
        let killed = matches!(exit.status, Status::Signal { signal: Signal::KILL, .. });
        Evidence {
            status: exit.status,
            wall: self.began.elapsed(),
            cpu,
            own_cpu: self.pid().and_then(procfs::own_cpu).unwrap_or(cpu),
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

impl Stub {
    /// Sends the rest of the launch and reads what the stub says, up to the exec that closes
    /// the socket.
    async fn hear(self) -> io::Result<Vec<u8>> {
        const SAID_BYTES_MAX: u64 = 1024;
        let mut socket = UnixStream::from_std(self.socket)?;
        if !self.unsent.is_empty() {
            socket.write_all(&self.unsent).await?;
        }
        let mut said = Vec::new();
        socket.take(SAID_BYTES_MAX).read_to_end(&mut said).await?;
        Ok(said)
    }
}

/// A descriptor that the runtime waits on.
#[expect(unsafe_code, reason = "the runtime wants a promise about the descriptor")]
pub fn watch<T: AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the AsyncFd owns the descriptor: nobody closes or replaces it before.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| error.into_parts().1)
}
