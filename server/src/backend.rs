//! One connection's process, from its launch to the line about its end.

use std::{
    io,
    net::{self, SocketAddr},
    os::fd::AsFd,
    process::Stdio,
    rc::Rc,
};

use pool::{
    exit::{Asked, Cause, Evidence, StartFault, StartStep},
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

/// A client, and the address of ours that it came to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The how-many-th it is.
    pub(crate) number: u64,
    pub(crate) remote: SocketAddr,
    pub(crate) local: SocketAddr,
}

impl Client {
    /// As it is called in the log.
    pub(crate) fn name(self, pid: Option<i32>) -> String {
        let pid = pid.map_or(String::new(), |pid| format!(" (PID {pid})"));
        format!("connection {} from {}{pid}", self.number, self.remote)
    }
}

/// How a connection ended.
#[derive(Debug)]
pub(crate) struct Over {
    pub(crate) client: Client,
    pub(crate) pid: Option<i32>,
    pub(crate) end: Result<Evidence, StartFault>,
    /// The client's socket, where the program never had it.
    pub(crate) unserved: Option<net::TcpStream>,
}

/// The socket as any program expects its stdin to be. Whether it blocks is a trait of the socket
/// itself, not of a descriptor, so it cannot differ between us and the program.
pub(crate) fn blocking(socket: TcpStream) -> io::Result<net::TcpStream> {
    let socket = socket.into_std()?;
    socket.set_nonblocking(false)?;
    Ok(socket)
}

/// Undoes [`blocking`].
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
    let mut launch = SpawnSpec::new(program, open_files, &[0, 1]);
    launch.set_env("PROTO", "TCP");
    for (side, address) in [("REMOTE", client.remote), ("LOCAL", client.local)] {
        // An IPv4 client of an IPv6 socket is known by its own address.
        launch.set_env(&format!("TCP{side}IP"), &address.ip().to_canonical().to_string());
        launch.set_env(&format!("TCP{side}PORT"), &address.port().to_string());
    }
    let passed = [socket.as_fd(), socket.as_fd()];
    // The stub's own stdout is replaced by the client before the program runs.
    Process::start(&launch, &passed, Stdio::inherit(), Stdio::inherit(), KillScope::Group)
}

/// Waits for its end. Our copy of the socket is closed as soon as the program has its own.
pub(crate) async fn live(
    mut process: Process,
    client: Client,
    socket: net::TcpStream,
    oom: Rc<OomWatch>,
) -> Over {
    let pid = process.pid();
    let (end, unserved) = match process.executed().await {
        Ok(()) => {
            drop(socket);
            (ended(&process, &oom).await, None)
        }
        Err(fault) => {
            // It says why and exits at once, or is dead already.
            let _ = process.ended().await;
            (Err(fault), Some(socket))
        }
    };
    process.reap().await;
    Over { client, pid, end, unserved }
}

async fn ended(process: &Process, oom: &OomWatch) -> Result<Evidence, StartFault> {
    match process.ended().await {
        // Its stderr is ours and goes by unread, so its last words are no evidence.
        Ok(exit) => Ok(process.evidence(exit, false, oom)),
        // Reaped by a stranger: there is no evidence to be had.
        Err(error) => Err(StartFault::new(StartStep::Spawn, &error)),
    }
}

impl Over {
    /// Whether the program did what it should.
    pub(crate) fn is_well(&self) -> bool {
        self.end.as_ref().is_ok_and(|evidence| evidence.status.is_success())
    }

    /// The line about it.
    pub(crate) fn line(&self, program: &Program, asked: Option<Asked>) -> String {
        let name = self.client.name(self.pid);
        let (cause, evidence) = match (&self.end, asked) {
            (Ok(evidence), _) => {
                let stop_signal = Signal::TERM;
                let circumstances = Circumstances { limits: &program.limits, stop_signal, asked };
                (verdict::cause(evidence, circumstances), Some(evidence))
            }
            // Before the exec, what ends the stub is what was meant for the program.
            (Err(_), Some(asked)) => (Cause::AskedToStop(asked), None),
            (Err(fault), None) => return format!("{name}: {}", cannot_start(*fault, program)),
        };
        let used = evidence.map_or(String::new(), |evidence| format!("; {}", used(evidence)));
        format!("{name}: {}{used}", describe(cause, evidence))
    }
}

fn used(evidence: &Evidence) -> String {
    format!(
        "wall {}, CPU {}, peak {}",
        show_duration(evidence.wall),
        show_duration(evidence.cpu),
        evidence.peak,
    )
}
