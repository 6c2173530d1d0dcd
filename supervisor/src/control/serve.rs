//! The control server: a task on the observers' thread. Each client has one of a bounded number of
//! slots, a time limit for its request and one for each write, so that a client that misbehaves
//! loses its own connection and delays nobody else.

use std::{io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use nix::unistd::{Uid, geteuid};
use records::RunInfo;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{self, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError},
    time::{Instant, sleep_until, timeout},
};

use super::{
    directory::{DirectoryError, Files},
    log::LineBuffers,
    wire::{Answer, GAP, Query, REQUEST_BYTES_MAX, Request, SCHEMA, WithMessage},
};
use crate::{
    model::{ControlCommand, OutputPiece, Refusal, WorkerName},
    observers::{RunHandle, Task},
};

/// Clients that are served at once; others wait in the kernel's queue.
const CLIENTS_MAX: usize = 64;
/// Time limit for a request to arrive, and for each write of an answer.
const CLIENT_TIMEOUT: Duration = Duration::from_secs(5);
/// The interval between the snapshots that a watching client receives.
const WATCH_INTERVAL: Duration = Duration::from_millis(500);
/// The delay after a failed accept, so that a lack of descriptors does not become a busy loop.
const ACCEPT_RETRY_DELAY: Duration = Duration::from_millis(100);

/// The control socket of a run, before it accepts clients.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    files: Files,
}

impl Server {
    /// Descriptors that are reserved for the socket, a few clients and their thread. More clients
    /// may hold more: then a worker may start a moment later.
    pub const FILES: u64 = 8;

    /// Binds the socket of a run in the directory of runs.
    ///
    /// # Errors
    /// The socket cannot be created; the run can go on without it.
    pub fn open(info: &RunInfo) -> Result<Self, DirectoryError> {
        let (listener, files) = Files::open(info)?;
        Ok(Self { listener, files })
    }

    /// The task that serves clients until the run is over.
    #[must_use]
    pub fn task(self) -> Task {
        Box::new(|run| Box::pin(self.serve(run)))
    }

    async fn serve(self, run: RunHandle) {
        let Self { listener, files } = self;
        let listener =
            listener.set_nonblocking(true).and_then(|()| net::UnixListener::from_std(listener));
        let Ok(listener) = listener else { return };
        let slots = Arc::new(Semaphore::new(CLIENTS_MAX));
        let over = run.over();
        tokio::pin!(over);
        loop {
            let accepted = tokio::select! {
                _ = &mut over => break,
                accepted = accept(&listener, &slots) => accepted,
            };
            match accepted {
                Ok((client, slot)) => {
                    let run = run.clone();
                    tokio::task::spawn_local(async move {
                        // An error concerns this client only.
                        let _ = serve_client(client, &run).await;
                        drop(slot);
                    });
                }
                Err(_) => sleep_until(Instant::now() + ACCEPT_RETRY_DELAY).await,
            }
        }
        // The files go first: no new client should wait for those that are slow to read the end.
        drop(files);
        let all = u32::try_from(CLIENTS_MAX).unwrap_or(u32::MAX);
        let _ = timeout(CLIENT_TIMEOUT, slots.acquire_many(all)).await;
    }
}

/// The next client, once a slot is free.
async fn accept(
    listener: &net::UnixListener,
    slots: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, slot))
}

async fn serve_client(mut client: UnixStream, run: &RunHandle) -> io::Result<()> {
    let uid = Uid::from_raw(client.peer_cred()?.uid());
    if uid != geteuid() && !uid.is_root() {
        return refuse(&mut client, &Refusal::PermissionDenied).await;
    }
    let query = match timeout(CLIENT_TIMEOUT, read_query(&mut client)).await {
        Ok(Ok(query)) => query,
        Ok(Err(refusal)) => return refuse(&mut client, &refusal).await,
        Err(_) => return Ok(()),
    };
    match query {
        Query::Snapshot => match run.view().await {
            Some(view) => accept_with(&mut client, view.snapshot().as_ref()).await,
            None => refuse(&mut client, &Refusal::RunOver).await,
        },
        Query::Watch => watch(&mut client, run).await,
        Query::Events => events(&mut client, run).await,
        Query::Logs { worker, follow } => logs(&mut client, run, worker, follow).await,
        Query::Command(command) => perform(&mut client, run, command).await,
    }
}

async fn perform(
    client: &mut UnixStream,
    run: &RunHandle,
    command: ControlCommand,
) -> io::Result<()> {
    match run.perform(command).await {
        Ok(done) => accept_with(client, WithMessage::from(&done)).await,
        Err(refusal) => refuse(client, &refusal).await,
    }
}

/// Sends snapshots until the run is over; the last one shows how it ended.
async fn watch(client: &mut UnixStream, run: &RunHandle) -> io::Result<()> {
    accept_with(client, ()).await?;
    while let Some(view) = run.view().await {
        write_line(client, view.snapshot().as_ref()).await?;
        if view.end.is_some() {
            break;
        }
        // The end of the run is sent at once.
        let _ = timeout(WATCH_INTERVAL, run.over()).await;
    }
    Ok(())
}

async fn events(client: &mut UnixStream, run: &RunHandle) -> io::Result<()> {
    let mut lines = run.events();
    accept_with(client, ()).await?;
    let next = async || {
        let piece = lines.next().await?;
        Some(if lines.take_gap() { [GAP, &piece].concat() } else { piece.to_vec() })
    };
    forward(client, next).await
}

/// Sends recent output of workers, and what they write from now on if the client follows.
async fn logs(
    client: &mut UnixStream,
    run: &RunHandle,
    worker: Option<WorkerName>,
    follow: bool,
) -> io::Result<()> {
    let Some(output) = run.output().await else { return refuse(client, &Refusal::RunOver).await };
    accept_with(client, ()).await?;
    let Ok((recent, mut following)) = output.await else { return Ok(()) };
    let is_wanted = |piece: &OutputPiece| worker.is_none_or(|name| name.matches(piece.worker));
    let mut lines = LineBuffers::default();
    for piece in recent.iter().filter(|piece| is_wanted(piece)) {
        write(client, &lines.push(piece)).await?;
    }
    if follow {
        let next = async || match following.recv().await {
            Ok(piece) if is_wanted(&piece) => Some(lines.push(&piece)),
            Ok(_) => Some(Vec::new()),
            Err(RecvError::Lagged(_)) => Some(lines.gap()),
            Err(RecvError::Closed) => None,
        };
        forward(client, next).await?;
    }
    write(client, &lines.finish()).await
}

/// Sends pieces until there are no more or the client hangs up. A hang-up is noticed by reading:
/// while nothing happens no write would fail, and the client would keep its slot.
async fn forward(
    client: &mut UnixStream,
    mut next: impl AsyncFnMut() -> Option<Vec<u8>>,
) -> io::Result<()> {
    let (mut from, mut to) = client.split();
    let hung_up = async { while from.read(&mut [0; 64]).await.is_ok_and(|length| length > 0) {} };
    tokio::pin!(hung_up);
    loop {
        let piece = tokio::select! {
            () = &mut hung_up => return Err(io::ErrorKind::BrokenPipe.into()),
            piece = next() => piece,
        };
        match piece {
            Some(piece) => write(&mut to, &piece).await?,
            None => return Ok(()),
        }
    }
}

async fn read_query(client: &mut UnixStream) -> Result<Query, Refusal> {
    let invalid = |reason: String| Refusal::InvalidRequest { reason };
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = client.read(&mut piece).await.map_err(|error| invalid(error.to_string()))?;
        bytes.extend_from_slice(&piece[..length]);
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(Refusal::RequestTooLong { bytes_max: REQUEST_BYTES_MAX });
        }
        if end.is_some() || length == 0 {
            bytes.truncate(end.unwrap_or(bytes.len()));
            break;
        }
    }
    #[derive(serde::Deserialize)]
    struct Version {
        schema: u32,
    }
    // The version first: what follows it may be of a protocol that this run does not know.
    match serde_json::from_slice::<Version>(&bytes) {
        Ok(Version { schema }) if schema != SCHEMA => {
            Err(Refusal::UnsupportedSchema { schema, supported: SCHEMA })
        }
        _ => match serde_json::from_slice::<Request>(&bytes) {
            Ok(request) => Ok(request.query),
            Err(error) => Err(invalid(error.to_string())),
        },
    }
}

async fn accept_with(client: &mut UnixStream, ok: impl Serialize) -> io::Result<()> {
    write_line(client, &Answer::Ok { ok }).await
}

async fn refuse(client: &mut UnixStream, refusal: &Refusal) -> io::Result<()> {
    write_line(client, &Answer::<()>::Error(refusal.into())).await
}

async fn write_line(client: &mut UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    write(client, &line).await
}

async fn write(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(CLIENT_TIMEOUT, client.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}
