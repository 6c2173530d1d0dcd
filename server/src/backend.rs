//! The process that serves one client, from its start to the log line about its end.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::AsFd,
    process::Stdio,
    rc::Rc,
    time::Duration,
};

use nix::sys::socket::{setsockopt, sockopt};
use pool::{
    exit::{Cause, Evidence, StartFault, StartStep, StopReason, StopRequest},
    signal::Signal,
    verdict::{self, Circumstances},
};
use process::{
    KillScope, Process, Program, descriptors::OpenFiles, proc::OomWatch, spawn::SpawnSpec,
    tree::Orphans, wait::Exit,
};
use records::words::{self, describe};
use text::units::show_duration;
use tokio::{
    net::TcpStream,
    time::{Instant, sleep_until},
};

use crate::{drain::TERM_TO_KILL, log::Log, program::cannot_start, stderr::Stderr};

/// The time, in seconds, for which a client is silent before the kernel asks its machine whether the
/// connection still exists, the time between these questions, and the number of them that may stay
/// without an answer: a client that is gone without a word is noticed after two minutes.
const KEEPALIVE: [u32; 3] = [60, 10, 6];

/// A client, and the local address that it connected to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// Clients are numbered from 1 in the order in which they were accepted.
    pub(crate) number: u64,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Client {
    /// The name of the connection in the log.
    pub(crate) fn name(self, pid: Option<i32>) -> String {
        let pid = pid.map_or(String::new(), |pid| format!(" (PID {pid})"));
        format!("connection {} from {}{pid}", self.number, self.remote)
    }
}

/// A connection whose process has ended, or never started.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) client: Client,
    pub(crate) pid: Option<i32>,
    pub(crate) end: ProcessEnd,
    /// What the server asked of the process because of its time limit.
    pub(crate) asked: Option<StopRequest>,
}

/// How the process of a connection ended.
#[derive(Debug)]
pub(crate) enum ProcessEnd {
    Ended(Evidence),
    /// The program did not run, and the client still waits at this socket.
    NeverStarted(StartFault, net::TcpStream),
    /// The end could not be observed.
    Unobserved(io::Error),
}

/// Prepares a socket for a program. It blocks, as programs expect of their stdin: blocking is a
/// property of the socket and not of a descriptor, so the server and the program cannot differ in
/// it. It notices a client that is gone without a word.
pub(crate) fn prepare(socket: TcpStream) -> io::Result<net::TcpStream> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    let [idle, interval, count] = KEEPALIVE;
    setsockopt(&socket, sockopt::KeepAlive, &true)?;
    setsockopt(&socket, sockopt::TcpKeepIdle, &idle)?;
    setsockopt(&socket, sockopt::TcpKeepInterval, &interval)?;
    setsockopt(&socket, sockopt::TcpKeepCount, &count)?;
    Ok(socket)
}

/// Makes a socket that was prepared for a program usable by the server.
pub(crate) fn nonblocking(socket: net::TcpStream) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket)
}

/// What the connections share.
#[derive(Debug)]
pub(crate) struct Backends {
    pub(crate) program: Program,
    pub(crate) open_files: OpenFiles,
    /// The time limit of a connection.
    pub(crate) timeout: Option<Duration>,
    pub(crate) orphans: Rc<Orphans>,
    pub(crate) oom: OomWatch,
    pub(crate) log: Log,
}

/// A process with the client as its stdin and stdout.
#[derive(Debug)]
pub(crate) struct Backend {
    client: Client,
    pub(crate) process: Process,
    stderr: Stderr,
}

impl Backends {
    /// Starts the program for a client.
    pub(crate) fn start(
        &self,
        client: Client,
        socket: &net::TcpStream,
    ) -> Result<Backend, StartFault> {
        let mut spec = SpawnSpec::new(&self.program, self.open_files, &[0, 1]);
        spec.set_env("PROTO", "TCP");
        for (side, address) in [("REMOTE", client.remote), ("LOCAL", client.local)] {
            // An IPv4 client of an IPv6 socket is shown by its IPv4 address.
            spec.set_env(&format!("TCP{side}IP"), &address.ip().to_canonical().to_string());
            spec.set_env(&format!("TCP{side}PORT"), &address.port().to_string());
        }
        let (name, value) = self.orphans.mark(client.number);
        spec.set_env(name, &value);
        let (stderr, write) =
            Stderr::open(&self.log).map_err(|error| StartFault::new(StartStep::Spawn, &error))?;
        let passed = [socket.as_fd(), socket.as_fd()];
        // The exec helper inherits the server's stdout, and puts the client in its place.
        let process =
            Process::start(&spec, &passed, Stdio::inherit(), write.into(), KillScope::Tree)?;
        if let Some(pid) = process.pid() {
            self.orphans.add_worker(pid);
        }
        Ok(Backend { client, process, stderr })
    }

    /// Waits for the end of the process, kills what it has left behind, and reaps it. The server's
    /// copy of the socket is closed as soon as the program is executed.
    pub(crate) async fn supervise(&self, backend: Backend, socket: net::TcpStream) -> Finished {
        let Backend { client, mut process, mut stderr } = backend;
        let (pid, mut asked) = (process.pid(), None);
        let mut end = match process.executed().await {
            Ok(()) => {
                drop(socket);
                let exit = until_ended(&process, &mut stderr, self.timeout, &mut asked).await;
                match exit {
                    Ok(exit) => {
                        let says_so = stderr.says_out_of_memory();
                        ProcessEnd::Ended(process.evidence(exit, says_so, &self.oom))
                    }
                    Err(error) => ProcessEnd::Unobserved(error),
                }
            }
            Err(fault) => {
                // The helper exits as soon as it has reported the fault, or is dead already.
                let _ = process.ended().await;
                ProcessEnd::NeverStarted(fault, socket)
            }
        };
        if let Some(pid) = pid {
            let was_signalled = process.handle().was_signalled();
            let left = self.orphans.kill_left_by(client.number, pid, was_signalled).await;
            if let ProcessEnd::Ended(evidence) = &mut end {
                evidence.left = left;
            }
        }
        process.reap().await;
        if let Some(pid) = pid {
            self.orphans.remove_worker(pid);
        }
        stderr.finish();
        Finished { client, pid, end, asked }
    }
}

/// Forwards the output of a process until it has ended. Once its time is over, the process is asked
/// to end, and killed if it does not; `asked` is what was asked of it.
async fn until_ended(
    process: &Process,
    stderr: &mut Stderr,
    timeout: Option<Duration>,
    asked: &mut Option<StopRequest>,
) -> io::Result<Exit> {
    let handle = process.handle();
    let mut deadline = timeout.map(|timeout| Instant::now() + timeout);
    loop {
        tokio::select! {
            exit = process.ended() => return exit,
            () = stderr.forward() => {}
            () = sleep_until(deadline.unwrap_or_else(Instant::now)), if deadline.is_some() => {
                let killed = asked.is_some();
                *asked = Some(StopRequest { why: StopReason::Timeout, killed });
                if killed {
                    handle.signal(Signal::KILL);
                    deadline = None;
                } else {
                    handle.ask(Signal::TERM);
                    deadline = Some(Instant::now() + TERM_TO_KILL);
                }
            }
        }
    }
}

impl Finished {
    /// Whether the program ran and exited with code 0.
    pub(crate) fn is_success(&self) -> bool {
        matches!(&self.end, ProcessEnd::Ended(evidence) if evidence.status.is_success())
    }

    /// The log line about the end. `asked` is what the server asked of all processes by then.
    pub(crate) fn line(&self, program: &Program, asked: Option<StopRequest>) -> String {
        let name = self.client.name(self.pid);
        let asked = self.asked.or(asked);
        match (&self.end, asked) {
            (ProcessEnd::Ended(evidence), _) => {
                let stop_signal = Signal::TERM;
                let circumstances = Circumstances { limits: &program.limits, stop_signal, asked };
                let cause = verdict::cause(evidence, circumstances);
                let how = describe(cause, Some(evidence));
                let left = words::left(Some(evidence)).map(|left| format!("; {left}; killed"));
                format!("{name}: {how}; {}{}", usage(evidence), left.unwrap_or_default())
            }
            // The signals for the program ended the exec helper.
            (ProcessEnd::NeverStarted(..), Some(asked)) => {
                format!("{name}: {}", describe(Cause::AskedToStop(asked), None))
            }
            (ProcessEnd::NeverStarted(fault, _), None) => {
                format!("{name}: {}", cannot_start(*fault, program))
            }
            (ProcessEnd::Unobserved(error), _) => format!("{name}: its end is unknown: {error}"),
        }
    }
}

fn usage(evidence: &Evidence) -> String {
    format!(
        "wall {}, CPU {}, peak {}",
        show_duration(evidence.wall),
        show_duration(evidence.cpu),
        evidence.peak,
    )
}
