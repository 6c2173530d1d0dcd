//! Where do clients come in? The listener: what it takes to open it, and what happens when the
//! kernel cannot hand over a client.

use std::{net::SocketAddr, time::Duration};

use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

use crate::{admission::client_left, fault::Fault, log::Log};

/// When the kernel has no descriptor or no memory for another client, the next try is so far
/// away, or as near as the next connection that ends.
const PAUSE: Duration = Duration::from_millis(100);

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `None` once it is closed.
    socket: Option<TcpListener>,
    address: SocketAddr,
    /// Until when no client is accepted.
    pause: Option<Instant>,
    /// Whether the last try failed, which is said once.
    troubled: bool,
}

impl Listener {
    /// Opens it at `HOST:PORT`.
    pub(crate) async fn open(address: &str) -> Result<Self, Fault> {
        let cannot = |error| Fault::cannot_listen(address, error);
        let socket = TcpListener::bind(address).await.map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        Ok(Self { socket: Some(socket), address, pause: None, troubled: false })
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next client; never one once it is closed. Cancelled at any point, it has lost none.
    pub(crate) async fn accept(&mut self, log: &Log) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(until) = self.pause {
                sleep_until(until).await;
                self.pause = None;
            }
            let Some(socket) = &self.socket else { return std::future::pending().await };
            match socket.accept().await {
                Ok(client) => {
                    self.troubled = false;
                    return client;
                }
                Err(error) if error.raw_os_error().is_some_and(client_left) => {}
                Err(error) => {
                    if !self.troubled {
                        log.say(&format!("cannot accept clients now: {error}; they wait"));
                    }
                    self.troubled = true;
                    self.pause = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// A connection has ended: what there was too little of may be there again.
    pub(crate) fn try_again(&mut self) {
        self.pause = None;
    }

    /// From now on the kernel refuses whoever comes.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }
}
