//! Refuses clients so that the answer reaches them, and so that no client, whatever it sends, costs
//! more than a descriptor for a moment.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

/// Time for the request of an HTTP client, which expects no answer before it has sent one.
const REQUEST_TIMEOUT: Duration = Duration::from_millis(500);
/// Time for the client to take the answer and close the connection.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
/// Bytes that the client may send meanwhile.
const RECEIVED_BYTES_MAX: usize = 64 << 10;
/// The value of `Retry-After`, in seconds.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Answers an HTTP client with the reason and closes the connection; without a reason, only closes
/// it.
pub(crate) async fn refuse(mut socket: TcpStream, reason: Option<String>) {
    let mut request = [0; 4096];
    let mut received = 0;
    if let Some(reason) = reason {
        received = timeout(REQUEST_TIMEOUT, read(&socket, &mut request))
            .await
            .unwrap_or(Ok(0))
            .unwrap_or(0);
        let answer = answer(&reason, request.starts_with(b"HEAD "));
        // The empty buffer of the socket takes the whole answer, unless the client is gone.
        let _ = socket.try_write(answer.as_bytes());
    }
    // Only the server's side is closed at first: for a socket with unread bytes the kernel would
    // send a reset, which may overtake the answer.
    let _ = socket.shutdown().await;
    let client_closes = async {
        while received <= RECEIVED_BYTES_MAX {
            match read(&socket, &mut request).await {
                Ok(length @ 1..) => received += length,
                _ => return,
            }
        }
    };
    tokio::select! {
        () = client_closes => {}
        () = sleep(CLOSE_TIMEOUT) => {}
    }
}

/// Refuses a client without any wait, where too many are being refused already. The answer may not
/// reach a client whose request comes later.
pub(crate) fn refuse_at_once(socket: TcpStream, reason: Option<&str>) {
    // The runtime does not know yet whether the socket is readable, but the kernel does.
    let Ok(mut socket) = socket.into_std() else { return };
    let mut request = [0; 4096];
    // Unread bytes would make the kernel reset the connection.
    let _ = socket.read(&mut request);
    if let Some(reason) = reason {
        let _ = socket.write(answer(reason, request.starts_with(b"HEAD ")).as_bytes());
    }
}

async fn read(socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        socket.readable().await?;
        match socket.try_read(buffer) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return result,
        }
    }
}

fn answer(reason: &str, head_only: bool) -> String {
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\n\
         Content-Type: text/plain; charset=utf-8\r\n\
         Content-Length: {}\r\n\
         Retry-After: {RETRY_AFTER_SECONDS}\r\n\
         Connection: close\r\n\r\n",
        reason.len() + 1,
    );
    if head_only { head } else { head + reason + "\n" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_length_is_that_of_the_body() {
        let (head, body) = (answer("full", true), answer("full", false));
        assert_eq!(body.strip_prefix(head.as_str()), Some("full\n"));
        assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"));
    }
}
