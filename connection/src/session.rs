//! The backend mode: serves one client over HTTP/1.1 with keep-alive until it leaves.

use std::fs::File;
use std::io;
use std::net;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Interest;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};

use crate::routes;

/// The time for the head of a request, from the beginning of the connection or the end of the last
/// answer. A client that takes longer is disconnected: it holds a process.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait for an answer after the client closed its side. The client may have sent its last
/// request (`nc -N`) or may be gone, and the two cannot be distinguished.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// Returns the client that this process was started for, according to UCSPI: `PROTO=TCP` in the
/// environment and a socket as stdin.
#[must_use]
pub fn accepted_client() -> Option<net::TcpStream> {
    if std::env::var_os("PROTO")? != "TCP" {
        return None;
    }
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let is_socket = stdin.metadata().ok()?.file_type().is_socket();
    is_socket.then(|| OwnedFd::from(stdin).into())
}

/// Serves the client behind `socket` until it leaves, or is silent for too long. Once SIGWINCH has
/// announced that the server stops, it serves no further request: it closes the connection at once,
/// or after the answer that it is about to give. Malformed requests and broken connections are not
/// errors.
///
/// # Errors
/// The socket cannot be used at all.
pub async fn serve(socket: net::TcpStream) -> io::Result<()> {
    // First, since a signal without a handler is ignored.
    let mut stop = signal(SignalKind::window_change())?;
    socket.set_nonblocking(true)?;
    let watched = Arc::new(TcpStream::from_std(socket.try_clone()?)?);
    let socket = TcpStream::from_std(socket)?;
    // This fails for sockets other than TCP. Without it answers are correct, but slower.
    let _ = socket.set_nodelay(true);

    let service = service_fn(move |request| {
        let watched = Arc::clone(&watched);
        async move {
            tokio::select! {
                biased;
                response = routes::answer(&request) => Ok(response),
                error = departure(&watched) => Err(error),
            }
        }
    });
    let connection = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    tokio::select! {
        _ = connection.as_mut() => return Ok(()),
        _ = stop.recv() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
    Ok(())
}

/// Waits until the client has been gone for [`HALF_CLOSED_MAX`], then returns the error for that.
async fn departure(socket: &TcpStream) -> io::Error {
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // There is more to read, which this function ignores. Clear the readiness, so
                // that the next wait is for the next change.
                let _ = socket
                    .try_io(Interest::READABLE, || Err::<(), _>(io::ErrorKind::WouldBlock.into()));
            }
            Ok(_) => break,
            Err(error) => return error,
        }
    }
    tokio::time::sleep(HALF_CLOSED_MAX).await;
    io::ErrorKind::ConnectionAborted.into()
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use tokio::time::Instant;

    use super::*;

    /// Serves a client that sends this and then nothing; returns for how long.
    async fn served(sent: &str) -> Duration {
        let (mut client, accepted) = UnixStream::pair().unwrap();
        client.write_all(sent.as_bytes()).unwrap();
        let began = Instant::now();
        serve(OwnedFd::from(accepted).into()).await.unwrap();
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_no_whole_head_is_disconnected() {
        for sent in ["", "GET / HTTP/1.1\r\nHost: x\r\n", "GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"] {
            let took = served(sent).await;
            assert!(took >= HEAD_TIMEOUT && took < HEAD_TIMEOUT * 2, "{sent:?}: {took:?}");
        }
    }
}
