//! How is one client served to its end? HTTP/1.1 with keep-alive on one socket.

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

/// A client that sends no complete request for so long is taken for gone.
const SILENCE_MAX: Duration = Duration::from_secs(300);

/// A client that closed its side may only have said all it has to say (`nc -N`), or may be
/// gone; nothing tells which. An answer this near is worth waiting for.
const HALF_CLOSED_MAX: Duration = Duration::from_secs(2);

/// The client this process was started for, in the manner of UCSPI: `PROTO=TCP` and a
/// socket as stdin.
#[must_use]
pub fn accepted_client() -> Option<net::TcpStream> {
    if std::env::var_os("PROTO")? != "TCP" {
        return None;
    }
    let stdin = File::from(io::stdin().as_fd().try_clone_to_owned().ok()?);
    let is_socket = stdin.metadata().ok()?.file_type().is_socket();
    is_socket.then(|| OwnedFd::from(stdin).into())
}

/// Serves the client behind `socket` until it leaves. Whatever it sends, and however it
/// ends, is its own affair and no error.
///
/// # Errors
/// The socket cannot be used at all.
pub async fn serve(socket: net::TcpStream) -> io::Result<()> {
    socket.set_nonblocking(true)?;
    let watched = Arc::new(TcpStream::from_std(socket.try_clone()?)?);
    let socket = TcpStream::from_std(socket)?;
    // Not every socket is TCP's, and without this the answers are right, if slower.
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

/// Waits until the client has been gone for a while; for the one reason to return.
async fn departure(socket: &TcpStream) -> io::Error {
    loop {
        match socket.ready(Interest::READABLE).await {
            Ok(ready) if !ready.is_read_closed() => {
                // More to read, which is not our business here: forget it, so that the
                // next wait is for the next change.
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
