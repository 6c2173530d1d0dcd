//! How is a run shown over HTTP? Read only: metrics, health, a stream of events and a page, to a
//! bounded number of clients, each of which has bounds of its own in size and time.

mod answer;
mod host;
mod live;
mod metrics;
mod patient;
mod places;

use std::{
    fs, io,
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
    host::Hosts,
    patient::Patient,
    places::{Place, Places},
};
use crate::{
    endpoint::Endpoint,
    onlook::{Hub, Task},
};
use process::listen;

/// A request's head has to be there by then.
const HEAD_TIME: Duration = Duration::from_secs(5);
/// It may have so many bytes, and so many fields.
const HEAD_BYTES_MAX: usize = 16 << 10;
const FIELDS_MAX: usize = 64;
/// Where no connection can be accepted, the next is tried then.
const PAUSE: Duration = Duration::from_millis(100);

/// The workers' memory is looked at so often while nobody else looks.
const MEASURED_EVERY: Duration = Duration::from_secs(5);

/// The most descriptors that are held for clients.
pub const FILES: u64 = places::CLIENTS_MAX as u64 + 1;

/// Why a run cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("--serve {endpoint}: {reason}: choose another place, or a port of 0 for a free one")]
pub struct ServeError {
    endpoint: Endpoint,
    reason: io::Error,
}

/// A place where clients come, before any does.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    hosts: Hosts,
}

#[derive(Debug)]
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener, Socket),
}

/// A socket's file, gone when dropped.
#[derive(Debug)]
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        // It may have been removed by hand.
        let _ = fs::remove_file(&self.0);
    }
}

impl Server {
    /// Takes the place.
    ///
    /// # Errors
    /// It is not to be had.
    pub fn open(endpoint: &Endpoint) -> Result<Self, ServeError> {
        let open = || {
            let listener = match endpoint {
                Endpoint::Tcp { host, port } => {
                    let addresses: Vec<_> = (host.as_str(), *port).to_socket_addrs()?.collect();
                    let listener = TcpListener::bind(&addresses[..])?;
                    listener.set_nonblocking(true)?;
                    Listener::Tcp(listener)
                }
                Endpoint::Unix(path) => {
                    let listener = listen::private(path)?;
                    listener.set_nonblocking(true)?;
                    Listener::Unix(listener, Socket(path.clone()))
                }
            };
            Ok(Self { listener, hosts: Hosts::of(endpoint) })
        };
        open().map_err(|reason| ServeError { endpoint: endpoint.clone(), reason })
    }

    /// Where it is, for a person to go there.
    #[must_use]
    pub fn place(&self) -> String {
        match &self.listener {
            Listener::Tcp(listener) => match listener.local_addr() {
                Ok(address) => format!("http://{address}/"),
                Err(_) => "an address that is not known".into(),
            },
            Listener::Unix(_, Socket(path)) => format!("the socket {}", path.display()),
        }
    }

    /// What the thread of those who look on has to do.
    #[must_use]
    pub fn task(self) -> Task {
        Box::new(|hub| Box::pin(self.serve(hub)))
    }

    async fn serve(self, hub: Hub) {
        let site = Rc::new(Site::new(hub.clone(), self.hosts));
        let mut places = Places::default();
        tokio::task::spawn_local(measure(hub.clone()));
        let over = hub.over();
        tokio::pin!(over);
        match self.listener {
            Listener::Tcp(listener) => {
                let Ok(listener) = net::TcpListener::from_std(listener) else { return };
                loop {
                    let accepted = tokio::select! {
                        _ = &mut over => break,
                        accepted = listener.accept() => accepted.map(|(client, _)| client),
                    };
                    admit(accepted, &site, &mut places).await;
                }
            }
            Listener::Unix(listener, _socket) => {
                let Ok(listener) = net::UnixListener::from_std(listener) else { return };
                loop {
                    let accepted = tokio::select! {
                        _ = &mut over => break,
                        accepted = listener.accept() => accepted.map(|(client, _)| client),
                    };
                    admit(accepted, &site, &mut places).await;
                }
            }
        }
        places.finish().await;
    }
}

/// Looks from time to time, so that there is a history of the workers' memory for whoever comes
/// later.
async fn measure(hub: Hub) {
    while hub.look().await.is_some_and(|view| view.end.is_none()) {
        sleep_until(Instant::now() + MEASURED_EVERY).await;
    }
}

async fn admit<S>(accepted: io::Result<S>, site: &Rc<Site>, places: &mut Places)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    match accepted {
        Ok(client) => {
            let site = Rc::clone(site);
            places.admit(|place| converse(client, site, place));
        }
        // The client has gone again, or descriptors are short: it must not come to a spin.
        Err(_) => sleep_until(Instant::now() + PAUSE).await,
    }
}

/// One client, from its first request to its last.
async fn converse<S>(client: S, site: Rc<Site>, place: Place)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let over = Rc::clone(&site);
    let service = service_fn(move |request| {
        place.ask();
        let site = Rc::clone(&site);
        async move { site.answer(&request).await }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIME)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(FIELDS_MAX)
        .serve_connection(TokioIo::new(Patient::new(client)), service);
    tokio::pin!(connection);
    // What goes wrong with a client is its own affair.
    tokio::select! {
        _ = connection.as_mut() => return,
        _ = over.over() => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}
