//! The log of a run, as the loop sees it: a trait, because a build may be without journals.

use std::{fmt, pin::Pin, time::Duration};

use crate::{
    run::status::{OUR_FAILURE, USAGE},
    settings::Jobs,
    sink::Archive,
};
use pool::{
    Tick,
    event::WorkerId,
    job::{Attempt, Job, JobEnd},
};

/// The number of a record in the log, from 1 in each run.
pub(in crate::run) type Sequence = u64;

/// A future of the loop's own thread.
pub(in crate::run) type LocalFuture<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// What a log knows of a job of the input.
#[cfg_attr(
    not(any(feature = "journal", test)),
    expect(dead_code, reason = "only a journal finds matches")
)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::run) enum Known {
    /// The job is to be run under this id, whether it is new or not.
    Open {
        /// The job's number.
        id: u64,
    },
    /// The job has ended in a previous run.
    Settled {
        /// The job's number.
        id: u64,
        /// Whether its outcome certainly reached the output.
        is_written: bool,
    },
}

/// The durable log of a run, as the loop sees it. Records are gathered until they are submitted.
pub(in crate::run) trait Log: fmt::Debug {
    /// Compares the jobs of an input that can be read twice with those in the log: a line for
    /// stderr, and the number of jobs to be run. `None` where there is nothing to compare.
    fn compare<'a>(&'a mut self, jobs: &'a Jobs) -> LocalFuture<'a, Option<(String, u64)>>;

    /// Forgets how far a comparison came: the input is about to be read from its start.
    fn rewind(&mut self);

    /// Looks up the next job of the input, and records it if it is new.
    fn identify(&mut self, job: &Job) -> Known;

    /// The same for a job that is too long to be read.
    fn identify_too_long(&mut self, job: &Job, bytes: u64) -> Known;

    /// The input has ended: ids of jobs in the log that were not in it, and whose outcome may not
    /// have reached the output.
    fn missing(&mut self) -> Vec<u64>;

    /// Records that an attempt starts.
    fn started(&mut self, job: u64, attempt: u32, worker: WorkerId, pid: i32, now: Tick);

    /// Records that a start was cancelled: the job came back from a worker that had not begun it.
    fn start_cancelled(&mut self, job: u64);

    /// Records the end of an attempt, and with `end` that of the job.
    fn ended(&mut self, job: u64, attempt: &Attempt, end: Option<&JobEnd>);

    /// Records that the outcomes of these jobs, both inclusive, reached the output.
    fn written(&mut self, first: u64, last: u64);

    /// Hands the gathered records to the log, and returns the number of the last one; `None` if
    /// there are none.
    fn submit(&mut self) -> Option<Sequence>;

    /// Drops the gathered records, because the log has failed.
    fn discard(&mut self);

    /// Commits without waiting for more records.
    fn flush(&self);

    /// Whether the log takes more records at the moment.
    fn has_room(&self) -> bool;

    /// Waits for room; for ever once the log has failed.
    fn room(&self) -> LocalFuture<'_, ()>;

    /// Waits until a record after this one is committed.
    ///
    /// # Errors
    /// The log has failed, for the reason given; nothing more will be committed.
    fn committed_beyond(&self, sequence: Sequence) -> LocalFuture<'_, Result<Sequence, String>>;

    /// Whether the start of every attempt must be committed before a worker gets the job.
    fn starts_come_first(&self) -> bool;

    /// The number of jobs that failed in previous runs and are not run again.
    fn failed_before(&self) -> u64;

    /// The lines of the final summary. `is_whole` says that the input was read to its end.
    fn summary(&self, is_whole: bool) -> String;

    /// Commits all records, and how the run ended.
    ///
    /// # Errors
    /// Not everything could be committed.
    fn close(
        self: Box<Self>,
        since_1970: Duration,
        status: u8,
    ) -> LocalFuture<'static, Result<(), String>>;
}

/// A log that was opened and fits the run. Calling it records that the run begins.
pub(in crate::run) type Opening = Box<dyn FnOnce(&Jobs, Duration) -> Result<Begun, RecordError>>;

/// What a run needs to continue in its log.
pub(in crate::run) struct Begun {
    pub(in crate::run) log: Box<dyn Log>,
    /// Where outcomes are read from that are shown later, or again.
    pub(in crate::run) archive: Box<dyn Archive>,
    /// Lines for stderr.
    pub(in crate::run) text: String,
}

/// Opens the log of these settings. Without the feature there is none.
#[cfg(not(feature = "journal"))]
pub(in crate::run) fn open(
    settings: &crate::settings::Settings,
) -> Result<Option<Opening>, RecordError> {
    let journal = settings.jobs.as_ref().and_then(|jobs| jobs.journal.as_ref());
    journal.map_or(Ok(None), |_| Err(RecordError::NotBuilt))
}

/// Why a run cannot be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The build has no journals.
    #[error("this build keeps no journals: build it with the feature `journal`")]
    NotBuilt,
    /// The journal cannot be used.
    #[cfg(feature = "journal")]
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// The journal belongs to another run.
    #[cfg(feature = "journal")]
    #[error(transparent)]
    Changed(#[from] journal::resume::Changed),
    /// The journal's thread cannot be started.
    #[error("cannot start the thread that writes the journal: {0}")]
    Thread(std::io::Error),
}

impl RecordError {
    /// The exit status of a run that is refused for this reason.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::NotBuilt => USAGE,
            #[cfg(feature = "journal")]
            Self::Changed(_) => USAGE,
            #[cfg(feature = "journal")]
            Self::Journal(_) => crate::run::status::OUTPUT_FAILED,
            Self::Thread(_) => OUR_FAILURE,
        }
    }
}
