//! The built-in upstream: a real HTTP server in this process, on a loopback port, for a client that
//! was given no URL.

use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, TcpListener};

use reqwest::Url;

use crate::session;

/// Binds a free port. Returns the listener and the URL of its first post. Connections succeed from
/// now on, and are answered once [`serve`] runs.
///
/// # Errors
/// There is no loopback interface or no free port.
pub fn bind() -> io::Result<(TcpListener, Url)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let url = format!("http://{}/posts/1", listener.local_addr()?);
    Ok((listener, Url::parse(&url).map_err(io::Error::other)?))
}

/// Serves every client of `listener` in a session of its own, while the future is polled. Must run
/// inside a tokio runtime.
///
/// # Errors
/// The listener fails.
pub async fn serve(listener: TcpListener) -> io::Result<Infallible> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        let (client, _) = listener.accept().await?;
        tokio::spawn(session::serve(client.into_std()?));
    }
}
