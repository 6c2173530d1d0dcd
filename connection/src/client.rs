//! The client mode: fetches URLs concurrently and writes the bodies in the order of the URLs.
//!
//! Errors and times go to stderr, so that stdout carries bodies only.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use reqwest::Url;
use text::units::show_duration;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::fetch::{Fetched, Fetcher, Limits, Proxies, SetupError, without_credentials};
use crate::reply::Reply;
use crate::request::Request;
use crate::upstream;

/// The largest number of requests in flight, which also bounds the bodies held in memory.
const CONCURRENT_MAX: usize = 64;

/// The settings of a client.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The URLs to fetch. If there are none, the client fetches from the built-in upstream.
    pub urls: Vec<Url>,
    /// The limits of one request.
    pub limits: Limits,
    /// What the client writes for each answer.
    pub reply: Reply,
    /// Whether to send one request at a time.
    pub sequential: bool,
    /// Whether to print times to stderr.
    pub show_time: bool,
}

/// Why a client stops before its last URL.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The built-in upstream cannot listen on the loopback interface.
    #[error("built-in upstream on 127.0.0.1: {0}; name a URL instead")]
    Upstream(io::Error),
    /// The HTTP client could not be set up.
    #[error("HTTP client: {0}")]
    Client(#[from] SetupError),
    /// A body cannot be written to stdout.
    #[error("stdout: {0}; the rest is not fetched")]
    Stdout(io::Error),
    /// The task of a request panicked.
    #[error("request: {0}")]
    Task(#[from] JoinError),
}

/// Fetches all URLs and writes their answers. Returns how many URLs failed.
///
/// # Errors
/// The client cannot continue: the HTTP client, the upstream or the output failed.
pub async fn run(mut settings: Settings) -> Result<usize, Fault> {
    let began = Instant::now();
    let mut proxies = Proxies::FromEnvironment;
    if settings.urls.is_empty() {
        settings.urls.push(built_in()?);
        proxies = Proxies::None;
    }
    let fetcher = Fetcher::new(settings.limits, settings.reply.statuses(), proxies)?;
    let several = settings.urls.len() > 1;
    let window = if settings.sequential { 1 } else { CONCURRENT_MAX };

    let mut failed = 0;
    let mut waiting = settings.urls.into_iter();
    let mut running = VecDeque::new();
    loop {
        let room = window - running.len();
        running.extend(waiting.by_ref().take(room).map(|url| start(&fetcher, url)));
        let Some(first) = running.pop_front() else { break };
        let Fetched { url, elapsed, answer } = first.await?;
        match answer {
            Ok(answer) => {
                let reply = settings.reply.of(answer, elapsed);
                let written = if running.is_empty() {
                    write(&reply)
                } else {
                    // In a separate thread, so that a stopped reader of stdout does not use
                    // up the time limits of the requests that still run.
                    spawn_blocking(move || write(&reply)).await?
                };
                written.map_err(Fault::Stdout)?;
            }
            Err(error) => {
                failed += 1;
                // If there are several URLs, the message must name its URL. Most do.
                if several && !error.names_url() {
                    note(format_args!("{error} {}", without_credentials(&url)));
                } else {
                    note(error);
                }
            }
        }
        if settings.show_time {
            note_elapsed(elapsed, &url);
        }
    }
    if settings.show_time {
        note(format_args!("elapsed: {} in total", show_duration(began.elapsed())));
    }
    Ok(failed)
}

/// Starts the built-in upstream in this process, and reports its address.
fn built_in() -> Result<Url, Fault> {
    let (listener, url) = upstream::bind().map_err(Fault::Upstream)?;
    note(format_args!("no URL given: built-in upstream on {}", url.authority()));
    tokio::spawn(upstream::serve(listener));
    Ok(url)
}

fn start(fetcher: &Fetcher, url: Url) -> JoinHandle<Fetched> {
    let fetcher = fetcher.clone();
    tokio::spawn(async move { fetcher.fetch(Request::get(url)).await })
}

/// Prints how long a request took.
pub(crate) fn note_elapsed(elapsed: Duration, url: &Url) {
    note(format_args!("elapsed: {} for {}", show_duration(elapsed), without_credentials(url)));
}

/// Writes a body unchanged, followed by a newline unless it ends with one.
fn write(body: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(body)?;
    if body.last().is_some_and(|&last| last != b'\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// Prints a line to stderr. Errors are ignored, because there is nowhere to report them.
fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
