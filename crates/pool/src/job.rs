//! What is a job, and how can it end? Plain data, from the source through the pool to the sink.

use serde::{Deserialize, Serialize};

use std::time::Duration;

pub use crate::payload::Payload;
use crate::{
    command::Ran,
    exit::{Cause, Evidence},
    hang::Hang,
    worker_id::WorkerId,
};

/// The ways in which a job fails while its worker goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The worker returned an error.
    Error,
    /// The worker caught a panic.
    Panic,
}

/// Something to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// What, in the words of whoever wrote it.
    pub payload: Payload,
    /// Where it stands in its input: the number of the line or argument, from 1.
    pub position: u64,
}

/// A job that was taken on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its number, by which it is known to everybody, and from one run to the next.
    pub id: u64,
    /// Which turn its outcome has where outcomes come out in order: 1, 2, 3.
    pub place: u64,
    /// What is to be done.
    pub job: Job,
}

/// How a job ended. Every accepted job has exactly one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The job's number.
    pub id: u64,
    /// Which turn it has where outcomes come out in order.
    pub place: u64,
    /// Where it stood in its input.
    pub position: u64,
    /// What was to be done.
    pub payload: Payload,
    /// How it ended.
    pub end: JobEnd,
    /// Its last attempt; `None` where there was none.
    pub last: Option<Attempt>,
    /// The attempts before that, in order. Most jobs have none.
    pub earlier: Vec<Attempt>,
    /// Whether it was told before, or may have been: by a run that this one continues.
    pub again: bool,
}

impl Outcome {
    /// Whether it is what was wanted.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.end, JobEnd::Ok(_))
    }

    /// All its attempts, in order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }
}

/// The ways in which a job ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobEnd {
    /// It was done; the reply.
    Ok(Payload),
    /// It failed, or took too long, and has no retries left: its last attempt says why.
    Failed,
    /// Its worker died of it, and would again: it is parked. Its last attempt holds the evidence.
    Crashed,
    /// It is longer than a frame may be, and was never tried.
    TooLong {
        /// How many bytes it has.
        bytes: u64,
        /// How many a job may have.
        cap: u64,
    },
    /// The run ended before it did. It can be run again.
    NotRun,
}

impl JobEnd {
    /// Whether it is told of the job once and for all: else another run may come to another.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Failed | Self::Crashed)
    }
}

/// One try of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which try, from 1.
    pub number: u32,
    /// Who tried.
    pub worker: WorkerId,
    /// In which process.
    pub pid: i32,
    /// When it began, since the run did.
    pub began: Duration,
    /// How long it ran.
    pub took: Duration,
    /// The most memory its worker had held by then, in bytes, in this job or in one before.
    /// `None` where that was not looked at: for short jobs it would cost more than they do.
    pub peak_bytes: Option<u64>,
    /// What it was doing when its time was over, where it was looked at.
    pub hang: Option<Box<Hang>>,
    /// How it ended.
    pub end: AttemptEnd,
}

/// The ways in which an attempt ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// With a reply.
    Ok,
    /// With an error, or a panic that the worker caught.
    Error(Box<Failure>),
    /// At its time limit.
    Timeout(Box<Death>),
    /// The worker died of it.
    Crashed(Box<Death>),
    /// The worker died or was stopped, and not of it: it was tried again, uncharged.
    Requeued(Box<Death>),
    /// A command was run, however it ended.
    Ran(Box<Ran>),
    /// The supervisor died while it ran: how it ended is not known.
    Lost,
}

/// What a worker says of a job that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Error or panic.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// Where in the worker's source, if it said so.
    pub place: Option<String>,
}

/// How a worker died while it ran a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Why.
    pub cause: Cause,
    /// How; `None` where the worker still lives.
    pub evidence: Option<Evidence>,
    /// The last of what it wrote to stdout and stderr, as it came.
    pub last_output: Vec<u8>,
}
