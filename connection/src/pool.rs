//! The worker mode: makes one request per job, one job after another.
//!
//! All jobs share one HTTP client, so that a server is connected to once and not for every job.

use tokio::runtime::Runtime;
use worker::ServeError;

use crate::client::{self, Settings};
use crate::fetch::{FetchError, Fetched, Fetcher, Proxies, SetupError};
use crate::job::{self, JobError};
use crate::reply::Reply;

/// The number of times that the runtime is polled before a job: once to learn which idle connections
/// have closed, once for their tasks to react, and once to spare.
const POLLS: usize = 3;

/// Why a job failed. `Display` prints one line.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// The payload is not a request.
    #[error(transparent)]
    Job(#[from] JobError),
    /// The request was not answered.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// Why a worker stops before its last job.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The HTTP client could not be set up.
    #[error("HTTP client: {0}")]
    Client(#[from] SetupError),
    /// The supervisor is gone or violates the protocol.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Runs jobs until there are no more.
///
/// # Errors
/// The HTTP client cannot be set up, or the connection to the supervisor fails. A job that fails is
/// not an error.
pub fn serve(runtime: &Runtime, settings: &Settings) -> Result<(), Fault> {
    let worker = Worker::new(runtime, settings)?;
    Ok(worker::serve(|job| worker.work(job.bytes()))?)
}

/// The state that jobs share.
#[derive(Debug)]
pub struct Worker<'a> {
    runtime: &'a Runtime,
    fetcher: Fetcher,
    reply: Reply,
    show_time: bool,
}

impl<'a> Worker<'a> {
    /// Sets up the HTTP client. It does not connect yet.
    ///
    /// # Errors
    /// The same as those of [`Fetcher::new`].
    pub fn new(runtime: &'a Runtime, settings: &Settings) -> Result<Self, SetupError> {
        let Settings { limits, reply, show_time, .. } = *settings;
        let fetcher = Fetcher::new(limits, reply.statuses(), Proxies::FromEnvironment)?;
        Ok(Self { runtime, fetcher, reply, show_time })
    }

    /// Runs one job and returns its reply.
    ///
    /// # Errors
    /// The job is invalid or its request failed. Later jobs are not affected.
    pub fn work(&self, job: &[u8]) -> Result<Vec<u8>, Failed> {
        let request = job::parse(job)?;
        let Fetched { url, elapsed, answer } = self.runtime.block_on(async {
            // The runtime does not run between jobs. Without this, a connection that its server
            // has closed since would still count as open, and the request would fail.
            for _ in 0..POLLS {
                tokio::task::yield_now().await;
            }
            self.fetcher.fetch(request).await
        });
        if self.show_time {
            client::note_elapsed(elapsed, &url);
        }
        Ok(self.reply.of(answer?, elapsed))
    }
}
