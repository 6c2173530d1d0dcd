//! The stream of events as server-sent events: first the whole snapshot, then twice a second what
//! has changed of it (`board`), and in between, as they happen, the records that `--events` writes,
//! at most a thousand a second.

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
    observers::{EventLines, RunHandle},
};
use records::{Count, Failure, Jobs, Millis, Sample, ServiceTime, Snapshot, Worker};

/// The interval between two boards.
const BOARD_INTERVAL: Duration = Duration::from_millis(500);
/// Pieces that wait for a client; a client that reads more slowly sees fewer boards.
const PIECES_MAX: usize = 4;

/// A snapshot without what the client has received already.
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

/// What a client has received: the last failure and the last sample.
#[derive(Default)]
struct Seen {
    failure: u64,
    sample_ms: Millis,
}

/// Starts the stream for one client.
pub(super) fn follow(
    run: RunHandle,
    with_records: bool,
    follower: Follower,
) -> mpsc::Receiver<Bytes> {
    let (to, pieces) = mpsc::channel(PIECES_MAX);
    spawn_local(async move {
        // `None` means that the run is over or that the client has gone.
        let _ = send(run, with_records, &to).await;
        drop(follower);
    });
    pieces
}

async fn send(run: RunHandle, with_records: bool, to: &mpsc::Sender<Bytes>) -> Option<()> {
    let mut lines = with_records.then(|| run.events());
    let mut seen = Seen::default();
    let snapshot = run.view().await?.snapshot();
    seen.note(&snapshot);
    to.send(event("snapshot", &*snapshot).into()).await.ok()?;
    let over = run.over();
    tokio::pin!(over);
    let mut next = Instant::now() + BOARD_INTERVAL;
    loop {
        tokio::select! {
            biased;
            end = &mut over => return send_end(end, lines, seen, to).await,
            () = sleep_until(next) => {
                // A client that has gone is noticed here if no records are sent.
                if let Some(view) = run.view().await {
                    to.send(seen.board(&view.snapshot()).into()).await.ok()?;
                }
                next = Instant::now() + BOARD_INTERVAL;
            }
            piece = records(&mut lines) => to.send(piece.into()).await.ok()?,
        }
    }
}

async fn send_end(
    end: Option<Arc<View>>,
    mut lines: Option<EventLines>,
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

/// The next records. Waits for ever if the client wants none, or if the stream has ended.
async fn records(lines: &mut Option<EventLines>) -> String {
    if let Some(lines) = lines
        && let Some(piece) = lines.next().await
    {
        let gap = if lines.take_gap() { "event: gap\ndata: {}\n\n" } else { "" };
        return format!("{gap}{}", messages(&piece));
    }
    std::future::pending().await
}

/// One message for each line of JSON.
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

    /// The parts of a snapshot that this client has not received.
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
