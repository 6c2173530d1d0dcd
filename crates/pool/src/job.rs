//! Jobs, their attempts and their outcomes: plain data that passes from the source to the sink.

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

/// A unit of work.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// The bytes that the worker gets.
    pub payload: Payload,
    /// Its position in the input: the number of its line or argument, from 1.
    pub position: u64,
}

/// A job that the run has accepted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The job's number, which is the same in every view, and in a run that continues this one.
    pub id: u64,
    /// Its sequence number in this run, from 1: its outcome's turn in ordered output.
    pub place: u64,
    /// The payload, and its position in the input.
    pub job: Job,
}

/// How a job ended. Every accepted job has exactly one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The job's number.
    pub id: u64,
    /// The job's sequence number in this run, from 1: the turn of this outcome in ordered output.
    pub place: u64,
    /// The job's position in the input, from 1.
    pub position: u64,
    /// The bytes that the worker got, or would have got.
    pub payload: Payload,
    /// How it ended.
    pub end: JobEnd,
    /// The job's last attempt; `None` if there was none.
    pub last: Option<Attempt>,
    /// The attempts before the last one, in order. Most jobs have none.
    pub earlier: Vec<Attempt>,
    /// Whether the output may contain this outcome already, from a run that this one continues.
    pub again: bool,
}

impl Outcome {
    /// Whether the job was done.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.end, JobEnd::Ok(_))
    }

    /// All attempts of the job, in order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }
}

/// The ways in which a job ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobEnd {
    /// It was done, with this reply.
    Ok(Payload),
    /// It failed or took too long, and has no retries left. Its last attempt says why.
    Failed,
    /// It is in quarantine: its workers died or were killed too often. Its last attempt holds the
    /// evidence.
    Crashed,
    /// It is longer than a frame may be, and was never sent.
    TooLong {
        /// The length of the job, in bytes.
        bytes: u64,
        /// The longest that a job may be, in bytes.
        cap: u64,
    },
    /// It was begun, and the run ended before the job did. The job can be run again.
    Interrupted,
    /// The run ended before the job was begun. The job can be run again.
    NotRun,
}

impl JobEnd {
    /// Whether the result is final; otherwise a run that continues this one runs the job again.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Failed | Self::Crashed)
    }
}

/// One execution of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which attempt of the job, from 1.
    pub number: u32,
    /// The worker that ran it.
    pub worker: WorkerId,
    /// The process that ran it.
    pub pid: i32,
    /// When it began, as the time since the run began.
    pub began: Duration,
    /// How long it ran.
    pub took: Duration,
    /// The worker's peak resident memory at the end of the attempt, in bytes; it may stem from an
    /// earlier job. `None` if not measured: measuring after a short job would cost more than the
    /// job.
    pub peak_bytes: Option<u64>,
    /// What it was doing when it reached its time limit, if it was examined.
    pub hang: Option<Box<Hang>>,
    /// How it ended.
    pub end: AttemptEnd,
}

/// The ways in which an attempt ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// The worker replied with a result.
    Ok,
    /// The worker replied with an error, or with a panic that it caught.
    Error(Box<Failure>),
    /// It reached its time limit.
    Timeout(Box<Death>),
    /// The worker died, and the death is charged to the job.
    Crashed(Box<Death>),
    /// The worker died or was stopped for a reason that is not charged to the job: the job is
    /// requeued.
    Requeued(Box<Death>),
    /// A launcher ran a command, or failed to start it; the pool judges the result.
    Ran(Box<Ran>),
    /// The supervisor died while the attempt ran, so its end is unknown.
    Lost,
}

/// A worker's report of a job that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Whether it was an error or a panic.
    pub kind: FailureKind,
    /// The message, for people.
    pub message: String,
    /// The location in the worker's source code, if the worker named one.
    pub place: Option<String>,
}

/// How a worker died while it ran a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Why the worker died.
    pub cause: Cause,
    /// How the worker died; `None` if it still lives, or its end was not observed.
    pub evidence: Option<Evidence>,
    /// The last bytes that it wrote to stdout and stderr.
    pub last_output: Vec<u8>,
}
