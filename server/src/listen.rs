//! The listening socket, and what happens when the kernel cannot hand over a client.

use std::{net::SocketAddr, time::Duration};

use text::address::HostPort;
use tokio::{
    net::{TcpListener, TcpStream},
    time::{Instant, sleep_until},
};

use crate::{admission::is_about_client, fault::Fault, log::Log};

/// Time until the next accept when the kernel has no descriptors or no memory for another client,
/// unless a connection ends before.
const PAUSE: Duration = Duration::from_millis(100);

/// The listening socket.
#[derive(Debug)]
pub(crate) struct Listener {
    /// `None` once it is closed.
    socket: Option<TcpListener>,
    address: SocketAddr,
    /// The time until which no client is accepted.
    pause: Option<Instant>,
    /// Whether the last accept failed, which is logged once.
    is_failing: bool,
}

impl Listener {
    /// Listens at this address.
    pub(crate) async fn open(address: &HostPort) -> Result<Self, Fault> {
        let cannot = |error| Fault::cannot_listen(address, error);
        let socket =
            TcpListener::bind((address.host.as_str(), address.port)).await.map_err(cannot)?;
        let address = socket.local_addr().map_err(cannot)?;
        Ok(Self { socket: Some(socket), address, pause: None, is_failing: false })
    }

    /// The address, with the port that the kernel chose if the port was 0.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Waits for the next client; for ever once the socket is closed. Cancelling the wait loses no
    /// client.
    pub(crate) async fn accept(&mut self, log: &Log) -> (TcpStream, SocketAddr) {
        loop {
            if let Some(until) = self.pause {
                sleep_until(until).await;
                self.pause = None;
            }
            let Some(socket) = &self.socket else { return std::future::pending().await };
            match socket.accept().await {
                Ok(client) => {
                    self.is_failing = false;
                    return client;
                }
                Err(error) if error.raw_os_error().is_some_and(is_about_client) => {}
                Err(error) => {
                    if !self.is_failing {
                        log.line(&format!("cannot accept clients now: {error}; they wait"));
                    }
                    self.is_failing = true;
                    self.pause = Some(Instant::now() + PAUSE);
                }
            }
        }
    }

    /// Ends the pause after a failed accept: the end of a connection may have freed what was
    /// missing.
    pub(crate) fn try_again(&mut self) {
        self.pause = None;
    }

    /// Closes the socket. From now on the kernel refuses clients.
    pub(crate) fn close(&mut self) {
        self.socket = None;
    }
}
