//! A single connection: `./connection_bin` runs once, and its output is shown as output or as an
//! error.

use std::{
    io::{self, IsTerminal},
    thread,
    time::Duration,
};

use nix::{errno::Errno, sys::signalfd::SignalFd};
use pool::{exit::Status, limits::Limits, signal::Signal};
use process::{
    KillScope, Process,
    descriptors::{self, OpenFiles},
    signals::{Request, Requests},
    spawn::SpawnSpec,
    tree::{kill_descendants, suspend_all},
    warden::Ward,
};
use tokio::{
    sync::oneshot,
    time::{Instant, sleep_until},
};

use crate::{
    End,
    captured::Captured,
    drain::{Drain, Stage},
    fault::Fault,
    log::printable,
    settings::program,
};

/// Runs the connection. Must be called in the runtime, on the first thread of this process.
///
/// # Errors
/// The connection cannot be started, or its output cannot be written.
pub(crate) async fn run(ward: Ward) -> Result<End, Fault> {
    let requests =
        Requests::from_pipe(ward.signal_pipe).map_err(Fault::refused("listen to signals"))?;
    let (status, output) = match connection(&requests, &ward.sigchld).await? {
        Connection::Ended(status, output) => (status, output),
        Connection::Stopped(signal) => return Ok(End::By(signal)),
    };
    let written = show(status, output).map_err(Fault::refused("start the thread that writes"))?;
    let result = tokio::select! {
        result = written => result.unwrap_or(Ok(())),
        // A slow reader must not keep the server from being stopped.
        signal = stop_signal(&requests, &ward.sigchld) => return Ok(End::By(signal)),
    };
    match result {
        Ok(()) => Ok(End::Status(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))),
        Err(Errno::EPIPE) => Ok(End::By(Signal::PIPE)),
        Err(errno) => Err(Fault::refused("write to stdout")(errno.into())),
    }
}

/// The end of the connection.
enum Connection {
    /// It ended by itself.
    Ended(Status, Output),
    /// This signal stopped the server, which then stopped the connection.
    Stopped(Signal),
}

/// The output of the connection.
struct Output {
    stdout: Captured,
    stderr: Captured,
}

/// Waits for the next request to stop. Other requests are handled here.
async fn stop_signal(requests: &Requests, sigchld: &SignalFd) -> Signal {
    loop {
        match requests.next().await {
            Request::Stop(signal) => return signal,
            Request::HangUp => return Signal::HUP,
            Request::Suspend => suspend_all(drop),
            Request::Report => {}
            // The warden is dead, so nothing would clean up after this process.
            Request::Abandoned => {
                let _ = kill_descendants(sigchld);
                std::process::exit(128 + Signal::KILL.number());
            }
        }
    }
}

/// Runs the connection from its start until it is reaped.
async fn connection(requests: &Requests, sigchld: &SignalFd) -> Result<Connection, Fault> {
    let program = program(Vec::new(), Limits::default());
    let open_files = OpenFiles::raise().map_err(Fault::refused("read the limit of open files"))?;
    let (mut stdout, out) = Captured::open().map_err(Fault::refused("make a pipe"))?;
    let (mut stderr, err) = Captured::open().map_err(Fault::refused("make a pipe"))?;
    let spec = SpawnSpec::new(&program, open_files, &[]);
    let cannot_start = |fault| Fault::cannot_start(fault, &program);
    let mut process = Process::start(&spec, &[], out.into(), err.into(), KillScope::Tree)
        .map_err(cannot_start)?;
    process.executed_or_reaped().await.map_err(cannot_start)?;

    let began = Instant::now();
    let handle = process.handle();
    // A connection that is asked to stop has nothing to finish.
    let mut drain = Drain::new(Duration::ZERO);
    let exit = loop {
        let deadline = drain.deadline().map(|deadline| began + deadline);
        let stage = tokio::select! {
            biased;
            signal = stop_signal(requests, sigchld) => drain.request(began.elapsed(), signal),
            () = sleep_until(deadline.unwrap_or(began)), if deadline.is_some() => {
                drain.tick(began.elapsed())
            }
            exit = process.ended() => break exit,
            () = stdout.more() => None,
            () = stderr.more() => None,
        };
        match (stage, drain.signal()) {
            (Some(Stage::Asked), _) => handle.ask(Signal::TERM),
            (Some(Stage::Killed), _) => handle.signal(Signal::KILL),
            (Some(Stage::Abandoned), Some(signal)) => return Ok(Connection::Stopped(signal)),
            _ => {}
        }
    };
    // What the connection has left behind is killed before the last output is read, so that nothing
    // is added to that.
    process.reap().await;
    let _ = kill_descendants(sigchld);
    stdout.rest();
    stderr.rest();
    let exit = exit.map_err(Fault::refused("learn how the connection ended"))?;
    Ok(match drain.signal() {
        Some(signal) => Connection::Stopped(signal),
        None => Connection::Ended(exit.status, Output { stdout, stderr }),
    })
}

/// Writes the output on a thread of its own, which may have to wait for a reader. Returns the end
/// of that: the first error of stdout, after which nothing more is written there.
fn show(status: Status, output: Output) -> io::Result<oneshot::Receiver<nix::Result<()>>> {
    let Output { stdout, stderr } = output;
    let (mut out, mut err) = if status.is_success() {
        let out = [b"Output: ", stdout.kept.as_slice()].concat();
        (ended_by_newline(out), ended_by_newline(stderr.kept))
    } else {
        (Vec::new(), error(status, &stderr.kept))
    };
    if io::stdout().is_terminal() {
        out = printable(&out);
    }
    if io::stderr().is_terminal() {
        err = printable(&err);
    }
    if stdout.dropped > 0 {
        let note = format!(
            "server_bin: the last {} bytes of the output were dropped: to see all of it, run \
             ./connection_bin itself\n",
            stdout.dropped
        );
        err.extend_from_slice(note.as_bytes());
    }
    let (done, written) = oneshot::channel();
    let write = move || {
        let result = descriptors::write(io::stdout(), &out);
        // There is nowhere to report that stderr failed.
        let _ = descriptors::write(io::stderr(), &err);
        let _ = done.send(result);
    };
    // Never joined: it may hang in a write as long as a reader likes, and ends with the process.
    thread::Builder::new().name("writer".into()).spawn(write)?;
    Ok(written)
}

/// The message for a connection that failed: its own words, and the signal if one ended it.
fn error(status: Status, stderr: &[u8]) -> Vec<u8> {
    let words = stderr.trim_ascii();
    let how = match status {
        Status::Code(code) => format!("connection ended with code {code}"),
        Status::Signal { .. } => {
            format!("connection was killed by {}", status.signal_text().unwrap_or_default())
        }
    };
    let text = match (status, words) {
        (Status::Code(_), []) => format!("{how} and gave no reason").into_bytes(),
        (Status::Code(_), words) => words.to_vec(),
        (Status::Signal { .. }, []) => how.into_bytes(),
        (Status::Signal { .. }, words) => [how.as_bytes(), b": ", words].concat(),
    };
    [b"Error: ", text.as_slice(), b"\n"].concat()
}

fn ended_by_newline(mut text: Vec<u8>) -> Vec<u8> {
    if text.last().is_some_and(|last| *last != b'\n') {
        text.push(b'\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_the_connections_own_words_or_how_it_ended() {
        let segv = Status::Signal { signal: Signal::SEGV, core: false };
        for (status, stderr, expected) in [
            (Status::Code(3), "\n no such host \n\n", "Error: no such host\n"),
            (Status::Code(3), "a\nb\n", "Error: a\nb\n"),
            (Status::Code(3), " \n", "Error: connection ended with code 3 and gave no reason\n"),
            (segv, "", "Error: connection was killed by SIGSEGV\n"),
            (segv, "oops\n", "Error: connection was killed by SIGSEGV: oops\n"),
        ] {
            assert_eq!(error(status, stderr.as_bytes()), expected.as_bytes());
        }
    }
}
