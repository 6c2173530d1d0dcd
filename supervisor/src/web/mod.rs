//! The web server, which only reads: metrics, health checks, a stream of events and a page. It
//! serves a bounded number of clients, each with limits on size and time.

mod answer;
mod connections;
mod host;
mod live;
mod metrics;
mod write_timeout;

use std::{
    io,
    net::{TcpListener, ToSocketAddrs},
    os::unix::net::UnixListener,
    path::PathBuf,
    rc::Rc,
    time::Duration,
};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net,
    time::{Instant, sleep_until},
};

use self::{
    answer::Site,
    connections::{Connection, Connections},
    host::Hosts,
    write_timeout::WriteTimeout,
};
use crate::{
    endpoint::Endpoint,
    observers::{RunHandle, Task},
    settings::Serve,
};
use files::{Place, socket};
use text::address::HostPort;

/// Time limit for the head of a request to arrive.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The most header fields of a request.
const FIELDS_MAX: usize = 64;
/// The delay after a failed accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The interval of memory measurements, which fill the history before the first client connects.
const MEASURE_INTERVAL: Duration = Duration::from_secs(5);

/// The most descriptors that the server holds for clients.
pub const FILES: u64 = connections::CLIENTS_MAX as u64 + 1;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("--serve {endpoint}: {reason}: choose another place, or a port of 0 for a free one")]
pub struct ServeError {
    endpoint: Endpoint,
    reason: io::Error,
}

/// A listening web server, before it accepts clients.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    hosts: Hosts,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, SocketFile),
}

/// The file of a Unix socket, removed when this is dropped.
#[derive(Debug)]
struct SocketFile {
    place: Place,
    /// The path as the user gave it.
    path: PathBuf,
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        // A user may have removed it by hand.
        let _ = self.place.remove();
    }
}

impl Server {
    /// Listens where the user asked for it.
    ///
    /// # Errors
    /// The address is in use, or the user may not listen there.
    pub fn open(Serve { endpoint, hosts }: &Serve) -> Result<Self, ServeError> {
        let open = || {
            let listener = match endpoint {
                Endpoint::Tcp(HostPort { host, port }) => {
                    let addresses: Vec<_> = (host.as_str(), *port).to_socket_addrs()?.collect();
                    let listener = TcpListener::bind(&addresses[..])?;
                    listener.set_nonblocking(true)?;
                    Listener::Tcp(listener)
                }
                Endpoint::Unix(path) => {
                    let (listener, place) = socket::private(path)?;
                    listener.set_nonblocking(true)?;
                    Listener::Unix(listener, SocketFile { place, path: path.clone() })
                }
            };
            Ok(Self { listener, hosts: Hosts::of(endpoint, hosts) })
        };
        open().map_err(|reason| ServeError { endpoint: endpoint.clone(), reason })
    }

    /// The address, in a form for people.
    #[must_use]
    pub fn address(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}/"),
                Err(_) => "an address that is not known".into(),
            },
            Listener::Unix(_, SocketFile { path, .. }) => format!("the socket {}", path.display()),
        }
    }

    /// The task that serves clients until the run is over.
    #[must_use]
    pub fn task(self) -> Task {
        Box::new(|run| Box::pin(self.serve(run)))
    }

    async fn serve(self, run: RunHandle) {
        let site = Rc::new(Site::new(run.clone(), self.hosts));
        let mut connections = Connections::default();
        tokio::task::spawn_local(measure(run.clone()));
        let over = run.over();
        tokio::pin!(over);
        match self.listener {
            Listener::Tcp(listener) => {
                let Ok(listener) = net::TcpListener::from_std(listener) else { return };
                loop {
                    let accepted = tokio::select! {
                        _ = &mut over => break,
                        accepted = listener.accept() => accepted.map(|(client, _)| client),
                    };
                    admit(accepted, &site, &mut connections).await;
                }
            }
            Listener::Unix(listener, _socket) => {
                let Ok(listener) = net::UnixListener::from_std(listener) else { return };
                loop {
                    let accepted = tokio::select! {
                        _ = &mut over => break,
                        accepted = listener.accept() => accepted.map(|(client, _)| client),
                    };
                    admit(accepted, &site, &mut connections).await;
                }
            }
        }
        connections.finish().await;
    }
}

/// Asks for a view at intervals, which measures the workers' memory, so that a client that connects
/// later finds a history of it.
async fn measure(run: RunHandle) {
    while run.view().await.is_some_and(|view| view.end.is_none()) {
        sleep_until(Instant::now() + MEASURE_INTERVAL).await;
    }
}

async fn admit<S>(accepted: io::Result<S>, site: &Rc<Site>, connections: &mut Connections)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match accepted {
        Ok(client) => {
            let site = Rc::clone(site);
            connections.admit(|connection| serve_client(client, site, connection));
            // While clients keep arriving, those that were served still get their turn to end.
            tokio::task::yield_now().await;
        }
        // The client has gone, or the process has no free descriptor.
        Err(_) => sleep_until(Instant::now() + ACCEPT_RETRY_DELAY).await,
    }
}

/// Serves one client from its first request to its last.
async fn serve_client<S>(client: S, site: Rc<Site>, connection: Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let over = Rc::clone(&site);
    let service = service_fn(move |request| {
        connection.has_requested();
        let site = Rc::clone(&site);
        async move { site.answer(&request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(WriteTimeout::new(client)), service);
    tokio::pin!(connection);
    // An error concerns this client only.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = over.over() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
