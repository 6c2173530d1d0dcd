//! A single connection: `./connection_bin` is run once, and what it said is shown as its output
//! or as its error.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use pool::{exit::Status, limits::Limits, signal::Signal};
use process::{KillScope, Process, descriptors::OpenFiles, signals::Requests, spawn::SpawnSpec};
use supervisor::sink::{
    Stream,
    writer::{Failure, Writer},
};
use text::escape::visible;
use tokio::time::{Instant, sleep_until};

use crate::{
    End,
    captured::Captured,
    drain::{Drain, Rung},
    fault::Fault,
    settings::program,
};

/// Written at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Runs it. To be called in the runtime, on the process's first thread.
///
/// # Errors
/// It could not be started, or its output not be written.
pub(crate) async fn run() -> Result<End, Fault> {
    let requests = Requests::open().map_err(Fault::refused("listen to signals"))?;
    let writer =
        Writer::open(Vec::new()).map_err(Fault::refused("start the thread that writes"))?;
    let (status, said) = match connection(&requests).await? {
        Connection::Ended(status, said) => (status, said),
        Connection::Stopped(signal) => return Ok(End::By(signal)),
    };
    tokio::select! {
        () = show(&writer, status, said) => {}
        // A reader that takes his time does not keep us from being stopped.
        signal = stop_signal(&requests) => return Ok(End::By(signal)),
    }
    match writer.failure() {
        None => Ok(End::Status(u8::try_from(status.shell_code()).unwrap_or(u8::MAX))),
        Some(Failure::Closed) => Ok(End::By(Signal::PIPE)),
        Some(Failure::Failed(errno) | Failure::Report(_, errno)) => {
            Err(Fault::refused("write to stdout")(io::Error::from_raw_os_error(errno)))
        }
    }
}

/// What became of the connection.
enum Connection {
    /// It ended by itself.
    Ended(Status, Said),
    /// This signal stopped us, and so it was asked to end.
    Stopped(Signal),
}

/// What it said.
struct Said {
    stdout: Captured,
    stderr: Captured,
}

async fn stop_signal(requests: &Requests) -> Signal {
    loop {
        if let Some(signal) = requests.next().await.stop_signal() {
            return signal;
        }
    }
}

/// From start to reaping.
async fn connection(requests: &Requests) -> Result<Connection, Fault> {
    let program = program(Vec::new(), Limits::default());
    let open_files = OpenFiles::raise().map_err(Fault::refused("read the limit of open files"))?;
    let (mut stdout, out) = Captured::open().map_err(Fault::refused("make a pipe"))?;
    let (mut stderr, err) = Captured::open().map_err(Fault::refused("make a pipe"))?;
    let launch = SpawnSpec::new(&program, open_files, &[]);
    let mut process = Process::start(&launch, &[], out.into(), err.into(), KillScope::Group)
        .map_err(|fault| Fault::cannot_start(fault, &program))?;
    if let Err(fault) = process.executed().await {
        let _ = process.ended().await;
        process.reap().await;
        return Err(Fault::cannot_start(fault, &program));
    }

    let began = Instant::now();
    let leader = process.handle();
    // One that is asked to stop has nothing to finish.
    let mut drain = Drain::new(Duration::ZERO);
    let exit = loop {
        let deadline = drain.deadline().map(|deadline| began + deadline);
        let climbed = tokio::select! {
            biased;
            request = requests.next() => request.stop_signal()
                .and_then(|signal| drain.request(began.elapsed(), signal)),
            () = sleep_until(deadline.unwrap_or(began)), if deadline.is_some() => {
                drain.tick(began.elapsed())
            }
            exit = process.ended() => break exit,
            () = stdout.more() => None,
            () = stderr.more() => None,
        };
        match (climbed, drain.signal()) {
            (Some(Rung::Asked), _) => leader.ask(Signal::TERM),
            (Some(Rung::Killed), _) => leader.signal(Signal::KILL),
            (Some(Rung::Abandoned), Some(signal)) => {
                return Ok(Connection::Stopped(signal));
            }
            _ => {}
        }
    };
    // Before its last words: what it left behind in its group shall not add to them.
    process.reap().await;
    stdout.rest();
    stderr.rest();
    let exit = exit.map_err(Fault::refused("learn how the connection ended"))?;
    Ok(match drain.signal() {
        Some(signal) => Connection::Stopped(signal),
        None => Connection::Ended(exit.status, Said { stdout, stderr }),
    })
}

async fn show(writer: &Writer, status: Status, said: Said) {
    let Said { stdout, stderr } = said;
    let lost = stdout.lost;
    if status.is_success() {
        let output = [b"Output: ", stdout.kept.as_slice()].concat();
        write(writer, Stream::Stdout, ended_by_newline(output)).await;
        write(writer, Stream::Stderr, ended_by_newline(stderr.kept)).await;
    } else {
        write(writer, Stream::Stderr, error(status, &stderr.kept)).await;
    }
    if lost > 0 {
        let note = format!(
            "server_bin: the last {lost} bytes of the output were dropped: to see all of it, run \
             ./connection_bin itself\n"
        );
        write(writer, Stream::Stderr, note.into()).await;
    }
    writer.flushed().await;
}

/// What is said of a connection that failed: its own words, and the signal if one ended it.
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

/// Writes what a connection said, which a terminal must not obey.
async fn write(writer: &Writer, stream: Stream, text: Vec<u8>) {
    let terminal = match stream {
        Stream::Stdout => io::stdout().is_terminal(),
        Stream::Stderr => io::stderr().is_terminal(),
    };
    let text = if terminal {
        let lines: Vec<String> = text.split(|byte| *byte == b'\n').map(visible).collect();
        lines.join("\n").into_bytes()
    } else {
        text
    };
    for piece in text.chunks(PIECE_BYTES) {
        writer.room().await;
        writer.push(stream, piece.to_vec());
    }
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
