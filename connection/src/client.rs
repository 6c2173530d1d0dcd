//! What does a client do? Fetches its URLs, some at a time, and writes the bodies in the
//! order of the URLs; what went wrong and how long it took goes to stderr.

use std::collections::VecDeque;
use std::fmt::Display;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use reqwest::Url;
use text::units::show_duration;
use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use crate::fetch::{Fetched, Fetcher, Limits, Proxies, SetupError, shown};
use crate::reply::Reply;
use crate::request::Request;
use crate::upstream;

/// Requests in flight at most, and with them the bodies held in memory.
const CONCURRENT_MAX: usize = 64;

/// What a client is to do; plain data.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What to fetch; nothing means the built-in upstream.
    pub urls: Vec<Url>,
    /// What one request may take.
    pub limits: Limits,
    /// What is written of an answer.
    pub reply: Reply,
    /// One request at a time.
    pub sequential: bool,
    /// Say on stderr how long it took.
    pub show_time: bool,
}

/// What ends a client before its last URL.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// No port on the loopback interface, or the like.
    #[error("built-in upstream on 127.0.0.1: {0}; name a URL instead")]
    Upstream(io::Error),
    /// The HTTP client could not be set up.
    #[error("HTTP client: {0}")]
    Client(#[from] SetupError),
    /// What was fetched cannot be written.
    #[error("stdout: {0}; the rest is not fetched")]
    Stdout(io::Error),
    /// A task of ours panicked.
    #[error("request: {0}")]
    Task(#[from] JoinError),
}

/// Fetches and writes everything; says how many of the URLs failed.
///
/// # Errors
/// Only what makes going on useless: no client, no upstream, no output.
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
                    // On a thread of its own, so that a stopped reader of stdout does not
                    // use up the time limits of the requests still running.
                    spawn_blocking(move || write(&reply)).await?
                };
                written.map_err(Fault::Stdout)?;
            }
            Err(error) => {
                failed += 1;
                // Of several, the error must say whose it is; most do.
                if several && !error.names_url() {
                    note(format_args!("{error} {}", shown(&url)));
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

/// Starts the built-in upstream beside us and says so.
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

/// Says how long one request took.
pub(crate) fn note_elapsed(elapsed: Duration, url: &Url) {
    note(format_args!("elapsed: {} for {}", show_duration(elapsed), shown(url)));
}

/// Writes a body as it came, and ends its last line.
fn write(body: &[u8]) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(body)?;
    if body.last().is_some_and(|&last| last != b'\n') {
        stdout.write_all(b"\n")?;
    }
    stdout.flush()
}

/// One line on stderr; nobody is left to tell that stderr is closed.
fn note(line: impl Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
