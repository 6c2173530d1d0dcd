//! What a source produces, and how a reading thread sends it.

use pool::job::Job;

use super::error::SourceError;

/// The next result of a source.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Batch {
    /// The next jobs, in order.
    Jobs(Vec<Job>),
    /// A job that is longer than the limit, and was not kept.
    TooLong {
        /// Position of the job in the input, from 1.
        position: u64,
        /// Length of the job in bytes.
        bytes: u64,
    },
    /// A message for the user.
    Notice(String),
    /// A message for the user: jobs are lost, and the input goes on behind them.
    Lost(String),
    /// There are no more jobs.
    Ended,
    /// The input cannot be read any further.
    Failed(SourceError),
}

/// The receiver takes no more batches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Disconnected;

/// Sends batches from a reading thread to the source.
pub(super) type Sender = Box<dyn FnMut(Batch) -> Result<(), Disconnected> + Send>;
