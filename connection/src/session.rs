//! The backend mode: serves one client over HTTP/1.1 with keep-alive until it leaves.

use std::fs::File;
use std::io;
use std::net;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileTypeExt;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::routes;

/// A client that sends no complete request within this time counts as gone.
const SILENCE_MAX: Duration = Duration::from_secs(300);

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

/// Serves the client behind `socket` until it leaves. Malformed requests and broken connections are
/// not errors.
///
/// # Errors
/// The socket cannot be used at all.
pub async fn serve(socket: net::TcpStream) -> io::Result<()> {
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
    let _ = http1::Builder::new()
        .half_close(true)
        .timer(TokioTimer::new())
        .header_read_timeout(SILENCE_MAX)
        .serve_connection(TokioIo::new(socket), service)
        .await;
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
