//! What comes down the stream of events? Server-sent events: the whole snapshot first, then twice a
//! second what has changed of it (`board`), and between those, as they happen, the records that
//! `--events` writes, a thousand a second at most.

use std::{fmt::Write, sync::Arc, time::Duration};

use bytes::Bytes;
use serde::Serialize;
use tokio::{
    sync::mpsc,
    task::spawn_local,
    time::{Instant, sleep_until},
};

use super::answer::Follower;
use crate::{
    observe::view::View,
    onlook::{Hub, Lines},
};
use records::{Count, Failure, Jobs, Millis, Sample, ServiceTime, Snapshot, Worker};

const EVERY: Duration = Duration::from_millis(500);
/// Pieces that wait for a client; whoever is slower sees the next board later.
const PIECES_MAX: usize = 4;

/// A snapshot without what the client has already.
#[derive(Serialize)]
struct Board<'a> {
    at_ms: Millis,
    state: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'a str>,
    workers: &'a [Worker],
    jobs: Jobs,
    failed: &'a [Count],
    attempts: &'a [Count],
    restarts: &'a [Count],
    service: &'a ServiceTime,
    failures: &'a [Failure],
    history: &'a [Sample],
    dropped_bytes: u64,
}

/// What a client has.
#[derive(Default)]
struct Seen {
    failure: u64,
    sample_ms: Millis,
}

/// The stream, for one client.
pub(super) fn follow(hub: Hub, with_records: bool, follower: Follower) -> mpsc::Receiver<Bytes> {
    let (to, pieces) = mpsc::channel(PIECES_MAX);
    spawn_local(async move {
        // It ends with the run, or when the client has gone.
        let _ = tell(hub, with_records, &to).await;
        drop(follower);
    });
    pieces
}

async fn tell(hub: Hub, with_records: bool, to: &mpsc::Sender<Bytes>) -> Option<()> {
    let mut lines = with_records.then(|| hub.events());
    let mut seen = Seen::default();
    let snapshot = hub.look().await?.snapshot();
    seen.note(&snapshot);
    to.send(event("snapshot", &*snapshot).into()).await.ok()?;
    let over = hub.over();
    tokio::pin!(over);
    let mut next = Instant::now() + EVERY;
    loop {
        tokio::select! {
            biased;
            end = &mut over => return farewell(end, lines, seen, to).await,
            () = sleep_until(next) => {
                // One that is gone and silent is noticed here.
                if let Some(view) = hub.look().await {
                    to.send(seen.board(&view.snapshot()).into()).await.ok()?;
                }
                next = Instant::now() + EVERY;
            }
            piece = records(&mut lines) => to.send(piece.into()).await.ok()?,
        }
    }
}

async fn farewell(
    end: Option<Arc<View>>,
    mut lines: Option<Lines>,
    mut seen: Seen,
    to: &mpsc::Sender<Bytes>,
) -> Option<()> {
    if let Some(lines) = &mut lines {
        while let Some(piece) = lines.next().await {
            to.send(messages(&piece).into()).await.ok()?;
        }
    }
    let end = end?.snapshot();
    to.send((seen.board(&end) + "event: end\ndata: {}\n\n").into()).await.ok()
}

/// The next records; never any where none are wanted, or there are no more.
async fn records(lines: &mut Option<Lines>) -> String {
    if let Some(lines) = lines
        && let Some(piece) = lines.next().await
    {
        let gap = if lines.take_gap() { "event: gap\ndata: {}\n\n" } else { "" };
        return format!("{gap}{}", messages(&piece));
    }
    std::future::pending().await
}

/// A message for each line; no line of JSON has a newline in it.
fn messages(lines: &[u8]) -> String {
    let lines = String::from_utf8_lossy(lines);
    lines.lines().fold(String::new(), |mut out, line| {
        let _ = write!(out, "data: {line}\n\n");
        out
    })
}

fn event(name: &str, what: &impl Serialize) -> String {
    let data = serde_json::to_string(what).unwrap_or_else(|_| "{}".into());
    format!("event: {name}\ndata: {data}\n\n")
}

impl Seen {
    fn note(&mut self, snapshot: &Snapshot) {
        self.failure = snapshot.failures.last().map_or(self.failure, |failure| failure.number);
        self.sample_ms = snapshot.history.last().map_or(self.sample_ms, |sample| sample.at_ms);
    }

    /// What this client has not seen.
    fn board(&mut self, all: &Snapshot) -> String {
        let failures = all.failures.partition_point(|failure| failure.number <= self.failure);
        let history = all.history.partition_point(|sample| sample.at_ms <= self.sample_ms);
        let board = Board {
            at_ms: all.at_ms,
            state: &all.state,
            status: all.status.as_deref(),
            why: all.why.as_deref(),
            workers: &all.workers,
            jobs: all.jobs,
            failed: &all.failed,
            attempts: &all.attempts,
            restarts: &all.restarts,
            service: &all.service,
            failures: &all.failures[failures..],
            history: &all.history[history..],
            dropped_bytes: all.dropped_bytes,
        };
        self.note(all);
        event("board", &board)
    }
}
