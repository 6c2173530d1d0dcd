//! Who answers those who ask a run? A task of the thread for those who look on: each client has a
//! place, a time for its question and a time for each line that it is sent; whoever is rude loses
//! his own connection.

use std::{io, os::unix::net::UnixListener, sync::Arc, time::Duration};

use nix::unistd::{Uid, geteuid};
use records::RunInfo;
use serde::Serialize;
use tokio::{
    io::{AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{self, UnixStream},
    sync::{OwnedSemaphorePermit, Semaphore, broadcast::error::RecvError, oneshot},
    time::{Instant, sleep_until, timeout},
};

use super::{
    logs::Lines,
    place::{self, Files, PlaceError},
    wire::{Answer, Ask, GAP, REQUEST_BYTES_MAX, Request, SCHEMA, Worker},
};
use crate::onlook::{self, Hub, LogPiece, Task};

/// So many clients at once; who comes after them waits in the kernel's queue.
const CLIENTS_MAX: usize = 64;
/// A question has to be there by then, and each line be taken.
const PATIENCE: Duration = Duration::from_secs(5);
/// Whoever watches sees the run this often.
const WATCHED_EVERY: Duration = Duration::from_millis(500);
/// Where no connection can be accepted, the next is tried then.
const PAUSE: Duration = Duration::from_millis(100);

/// Descriptors that are set aside for it, and for the thread that serves it.
/// (Clients may hold more: then workers are started a moment later.)
const FILES: u64 = 8;

/// The socket of a run, before anybody comes.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    files: Files,
}

impl Server {
    /// The most descriptors that it holds.
    pub const FILES: u64 = FILES;

    /// Takes its place in the directory of runs.
    ///
    /// # Errors
    /// Why there can be none, for a message: the run goes on without.
    pub fn open(about: &RunInfo) -> Result<Self, PlaceError> {
        let (listener, files) = Files::open(&place::directory(), about)?;
        Ok(Self { listener, files })
    }

    /// What the thread of those who look on has to do.
    #[must_use]
    pub fn task(self) -> Task {
        Box::new(|hub| Box::pin(self.serve(hub)))
    }

    async fn serve(self, hub: Hub) {
        let Self { listener, files } = self;
        let listener =
            listener.set_nonblocking(true).and_then(|()| net::UnixListener::from_std(listener));
        let Ok(listener) = listener else { return };
        let places = Arc::new(Semaphore::new(CLIENTS_MAX));
        let over = hub.over();
        tokio::pin!(over);
        loop {
            let admitted = tokio::select! {
                _ = &mut over => break,
                admitted = admit(&listener, &places) => admitted,
            };
            match admitted {
                Ok((client, place)) => {
                    let hub = hub.clone();
                    tokio::task::spawn_local(async move {
                        // What goes wrong with a client is its own affair.
                        let _ = converse(client, &hub).await;
                        drop(place);
                    });
                }
                // Descriptors are short: it must not come to a spin.
                Err(_) => sleep_until(Instant::now() + PAUSE).await,
            }
        }
        // At once, since nobody waits for those who are slow to hear the last of it.
        drop(files);
        let all = u32::try_from(CLIENTS_MAX).unwrap_or(u32::MAX);
        let _ = timeout(PATIENCE, places.acquire_many(all)).await;
    }
}

/// The next client, once there is a place for one.
async fn admit(
    listener: &net::UnixListener,
    places: &Arc<Semaphore>,
) -> io::Result<(UnixStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    Ok((listener.accept().await?.0, place))
}

/// One client, and its question.
async fn converse(mut client: UnixStream, hub: &Hub) -> io::Result<()> {
    let uid = Uid::from_raw(client.peer_cred()?.uid());
    if uid != geteuid() && !uid.is_root() {
        return say(&mut client, &Answer::<()>::Error("this run is another user's".into())).await;
    }
    let ask = match timeout(PATIENCE, question(&mut client)).await {
        Ok(Ok(ask)) => ask,
        Ok(Err(why)) => return say(&mut client, &Answer::<()>::Error(why)).await,
        Err(_) => return Ok(()),
    };
    match ask {
        Ask::Look => match hub.look().await {
            Some(view) => say(&mut client, &Answer::Ok(view.snapshot().as_ref())).await,
            None => say(&mut client, &Answer::<()>::Error("the run is over".into())).await,
        },
        Ask::Watch => watch(&mut client, hub).await,
        Ask::Events => {
            let mut lines = hub.events();
            say(&mut client, &Answer::Ok(())).await?;
            let next = async || {
                let piece = lines.next().await?;
                Some(if lines.take_gap() { [GAP, &piece].concat() } else { piece.to_vec() })
            };
            pass_on(&mut client, next).await
        }
        Ask::Logs { worker, follow } => logs(&mut client, hub, worker, follow).await,
        Ask::Act(act) => {
            let (to, done) = oneshot::channel();
            let asked = hub.say(onlook::Ask::Act(act, to)).await;
            let answer = match (asked, done.await) {
                (Ok(()), Ok(Ok(done))) => Answer::Ok(done),
                (Ok(()), Ok(Err(why))) => Answer::Error(why),
                _ => Answer::Error("the run is over".into()),
            };
            say(&mut client, &answer).await
        }
    }
}

/// How it looks, until it is over; and then how it ended up.
async fn watch(client: &mut UnixStream, hub: &Hub) -> io::Result<()> {
    say(client, &Answer::Ok(())).await?;
    while let Some(view) = hub.look().await {
        say(client, view.snapshot().as_ref()).await?;
        if view.end.is_some() {
            break;
        }
        // The end is told when it comes.
        let _ = timeout(WATCHED_EVERY, hub.over()).await;
    }
    Ok(())
}

/// What has been written, and what is.
async fn logs(
    client: &mut UnixStream,
    hub: &Hub,
    worker: Option<Worker>,
    follow: bool,
) -> io::Result<()> {
    let (to, logs) = oneshot::channel();
    if hub.say(onlook::Ask::Logs(to)).await.is_err() {
        return say(client, &Answer::<()>::Error("the run is over".into())).await;
    }
    say(client, &Answer::Ok(())).await?;
    let Ok((kept, mut fresh)) = logs.await else { return Ok(()) };
    let is_wanted = |piece: &LogPiece| worker.is_none_or(|worker| worker.is(piece.worker));
    let mut lines = Lines::default();
    for piece in kept.iter().filter(|piece| is_wanted(piece)) {
        write(client, &lines.of(piece)).await?;
    }
    if follow {
        let next = async || match fresh.recv().await {
            Ok(piece) if is_wanted(&piece) => Some(lines.of(&piece)),
            Ok(_) => Some(Vec::new()),
            Err(RecvError::Lagged(_)) => Some(lines.gap()),
            Err(RecvError::Closed) => None,
        };
        pass_on(client, next).await?;
    }
    write(client, &lines.rest()).await
}

/// Sends one piece after the other, until there are no more, or the client has hung up: while
/// nothing happens no write would tell, and he is not to keep his place.
async fn pass_on(
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

/// The question, or what is wrong with it.
async fn question(client: &mut UnixStream) -> Result<Ask, String> {
    let mut bytes = Vec::new();
    let mut piece = [0; 1024];
    loop {
        let length = client.read(&mut piece).await.map_err(|error| error.to_string())?;
        bytes.extend_from_slice(&piece[..length]);
        let end = bytes.iter().position(|byte| *byte == b'\n');
        if bytes.len() > REQUEST_BYTES_MAX {
            return Err(format!("a question has {REQUEST_BYTES_MAX} bytes at most"));
        }
        if end.is_some() || length == 0 {
            bytes.truncate(end.unwrap_or(bytes.len()));
            break;
        }
    }
    let version = serde_json::from_slice::<Version>(&bytes).map(|version| version.schema);
    match (version, serde_json::from_slice::<Request>(&bytes)) {
        (_, Ok(request)) if request.schema == SCHEMA => Ok(request.ask),
        (Ok(version), _) if version != SCHEMA => Err(format!(
            "this run speaks version {SCHEMA}, and not {version}: use its own supervisor"
        )),
        (_, Err(error)) => Err(format!("that is no question: {error}")),
        (_, Ok(_)) => Err("that is no question".into()),
    }
}

#[derive(serde::Deserialize)]
struct Version {
    schema: u32,
}

async fn say(client: &mut UnixStream, answer: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    write(client, &line).await
}

async fn write(client: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    timeout(PATIENCE, client.write_all(bytes)).await.map_err(|_| io::ErrorKind::TimedOut)?
}
