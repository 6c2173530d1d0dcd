//! The process that serves one client, from its start to the log line about its end.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::AsFd,
    process::Stdio,
    rc::Rc,
};

use pool::{
    exit::{Cause, Evidence, StartFault, StopRequest},
    signal::Signal,
    verdict::{self, Circumstances},
};
use process::{
    KillScope, Process, Program, descriptors::OpenFiles, proc::OomWatch, spawn::SpawnSpec,
};
use records::words::describe;
use text::units::show_duration;
use tokio::net::TcpStream;

use crate::program::cannot_start;

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

/// Makes a socket block, as programs expect of their stdin. Blocking is a property of the socket and
/// not of a descriptor, so the server and the program cannot differ in it.
pub(crate) fn blocking(socket: TcpStream) -> io::Result<net::TcpStream> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Reverts [`blocking`].
pub(crate) fn nonblocking(socket: net::TcpStream) -> io::Result<TcpStream> {
    socket.set_nonblocking(true)?;
    TcpStream::from_std(socket)
}

/// Starts the program with the client as its stdin and stdout.
pub(crate) fn start(
    program: &Program,
    open_files: OpenFiles,
    client: Client,
    socket: &net::TcpStream,
) -> Result<Process, StartFault> {
    let mut spec = SpawnSpec::new(program, open_files, &[0, 1]);
    spec.set_env("PROTO", "TCP");
    for (side, address) in [("REMOTE", client.remote), ("LOCAL", client.local)] {
        // An IPv4 client of an IPv6 socket is shown by its IPv4 address.
        spec.set_env(&format!("TCP{side}IP"), &address.ip().to_canonical().to_string());
        spec.set_env(&format!("TCP{side}PORT"), &address.port().to_string());
    }
    let passed = [socket.as_fd(), socket.as_fd()];
    // The exec helper inherits the server's stdout, and puts the client in its place.
    Process::start(&spec, &passed, Stdio::inherit(), Stdio::inherit(), KillScope::Group)
}

/// Waits for the end of the process and reaps it. The server's copy of the socket is closed as soon
/// as the program is executed.
pub(crate) async fn supervise(
    mut process: Process,
    client: Client,
    socket: net::TcpStream,
    oom: Rc<OomWatch>,
) -> Finished {
    let pid = process.pid();
    let end = match process.executed_or_reaped().await {
        Ok(()) => {
            drop(socket);
            let end = match process.ended().await {
                // The program's stderr is the server's own, so its last words cannot be read.
                Ok(exit) => ProcessEnd::Ended(process.evidence(exit, false, &oom)),
                Err(error) => ProcessEnd::Unobserved(error),
            };
            process.reap().await;
            end
        }
        Err(fault) => ProcessEnd::NeverStarted(fault, socket),
    };
    Finished { client, pid, end }
}

impl Finished {
    /// Whether the program ran and exited with code 0.
    pub(crate) fn is_success(&self) -> bool {
        matches!(&self.end, ProcessEnd::Ended(evidence) if evidence.status.is_success())
    }

    /// The log line about the end. `asked` is what the server asked of all processes by then.
    pub(crate) fn line(&self, program: &Program, asked: Option<StopRequest>) -> String {
        let name = self.client.name(self.pid);
        match (&self.end, asked) {
            (ProcessEnd::Ended(evidence), _) => {
                let stop_signal = Signal::TERM;
                let circumstances = Circumstances { limits: &program.limits, stop_signal, asked };
                let cause = verdict::cause(evidence, circumstances);
                format!("{name}: {}; {}", describe(cause, Some(evidence)), usage(evidence))
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
