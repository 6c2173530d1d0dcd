//! What does a worker of a pool do? One request per job, one job after another, all with the
//! same client, so that a server is connected to once and not for every job.

use tokio::runtime::Runtime;
use worker::ServeError;

use crate::client::{self, Settings};
use crate::fetch::{FetchError, Fetched, Fetcher, Proxies, SetupError};
use crate::job::{self, JobError};
use crate::reply::Reply;

/// Turns of the runtime before a job: one to hear what became of idle connections in the
/// meantime, one for their tasks to act on it, and one to spare.
const TURNS: usize = 3;

/// Why a job failed; `Display` is one line.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// It is no request.
    #[error(transparent)]
    Job(#[from] JobError),
    /// There is no answer to it.
    #[error(transparent)]
    Fetch(#[from] FetchError),
}

/// What ends a worker before its last job.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The HTTP client could not be set up.
    #[error("HTTP client: {0}")]
    Client(#[from] SetupError),
    /// The supervisor is gone or not understood.
    #[error(transparent)]
    Serve(#[from] ServeError),
}

/// Does every job that comes, until there are no more.
///
/// # Errors
/// No client, no supervisor. A job that fails is none.
pub fn serve(runtime: &Runtime, settings: &Settings) -> Result<(), Fault> {
    let worker = Worker::new(runtime, settings)?;
    Ok(worker::serve(|job| worker.work(job.bytes()))?)
}

/// What is kept from job to job.
#[derive(Debug)]
pub struct Worker<'a> {
    runtime: &'a Runtime,
    fetcher: Fetcher,
    reply: Reply,
    show_time: bool,
}

impl<'a> Worker<'a> {
    /// Sets up the client; nothing is connected yet.
    ///
    /// # Errors
    /// As for [`Fetcher::new`].
    pub fn new(runtime: &'a Runtime, settings: &Settings) -> Result<Self, SetupError> {
        let Settings { limits, reply, show_time, .. } = *settings;
        let fetcher = Fetcher::new(limits, reply.statuses(), Proxies::FromEnvironment)?;
        Ok(Self { runtime, fetcher, reply, show_time })
    }

    /// Does one job: its reply.
    ///
    /// # Errors
    /// The job's fault or its server's; the next job is as good as the first.
    pub fn work(&self, job: &[u8]) -> Result<Vec<u8>, Failed> {
        let request = job::parse(job)?;
        let Fetched { url, elapsed, answer } = self.runtime.block_on(async {
            // Between jobs nothing runs. A connection that its server has closed since would
            // be taken for open, and its request would fail.
            for _ in 0..TURNS {
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
