//! How is a client told that it cannot be served? So that the words reach it, and so that no
//! client, however rude, costs more than a descriptor for a moment.

use std::{
    io::{self, Read, Write},
    time::Duration,
};

use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    time::{sleep, timeout},
};

/// A client of HTTP expects no answer before it has asked: it has this long to.
const ASKS_WITHIN: Duration = Duration::from_millis(500);
/// And this long to take the answer and leave.
const LEAVES_WITHIN: Duration = Duration::from_secs(1);
/// What it may send meanwhile.
const SENT_BYTES_MAX: usize = 64 << 10;
/// For `Retry-After`.
const RETRY_AFTER_SECONDS: u32 = 1;

/// Tells a client of HTTP the reason, and parts from it; where there is none to tell, parts.
pub(crate) async fn refuse(mut socket: TcpStream, reason: Option<String>) {
    let mut asked = [0; 4096];
    let mut sent = 0;
    if let Some(reason) = reason {
        sent = timeout(ASKS_WITHIN, read(&socket, &mut asked)).await.unwrap_or(Ok(0)).unwrap_or(0);
        let answer = answer(&reason, asked.starts_with(b"HEAD "));
        // The buffer of a socket nobody has written to takes it all, or the client is gone.
        let _ = socket.try_write(answer.as_bytes());
    }
    // First our side only: closed with its request unread, the kernel would send a reset, and
    // that may overtake the answer.
    let _ = socket.shutdown().await;
    let left = async {
        while sent <= SENT_BYTES_MAX {
            match read(&socket, &mut asked).await {
                Ok(length @ 1..) => sent += length,
                _ => return,
            }
        }
    };
    tokio::select! {
        () = left => {}
        () = sleep(LEAVES_WITHIN) => {}
    }
}

/// The same without any waiting, for when too many are being told already. It may not reach a
/// client whose request comes later than the answer.
pub(crate) fn refuse_at_once(socket: TcpStream, reason: Option<&str>) {
    // The runtime has yet to learn whether it could be read or written; the kernel knows.
    let Ok(mut socket) = socket.into_std() else { return };
    let mut asked = [0; 4096];
    // What was read is not there to make the kernel reset the connection.
    let _ = socket.read(&mut asked);
    if let Some(reason) = reason {
        let _ = socket.write(answer(reason, asked.starts_with(b"HEAD ")).as_bytes());
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
    fn the_answer_is_as_long_as_it_says() {
        let (head, body) = (answer("full", true), answer("full", false));
        assert_eq!(body.strip_prefix(head.as_str()), Some("full\n"));
        assert!(head.contains("\r\nContent-Length: 5\r\n") && head.ends_with("\r\n\r\n"));
    }
}
