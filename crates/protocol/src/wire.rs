//! The messages that a supervisor and its worker exchange, as types.
//!
//! `PROTOCOL.md` describes the same messages for authors of workers in other languages.
//! [`crate::codec`] turns them into bytes and back.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The version of the protocol. The first frame in each direction carries it, as JSON.
pub const VERSION: u32 = 1;

/// The environment variable that announces the descriptors: `PID:JOBS:REPLIES:RECORDER`.
///
/// The process id is that of the process that the supervisor started: the worker, or a wrapper that
/// started it. A descendant that inherits the variable finds the descriptors below `/proc/PID/fd`, and
/// in the recorder whether another process is the worker already.
pub const VARIABLE: &str = "SUPERVISOR_WIRE";

/// The capability of a worker that keeps the flight recorder.
pub const RECORDER: &str = "recorder";
/// The capability of a worker that reads [`ToWorker::Cancel`] while it runs a job.
pub const CANCELS: &str = "cancels";

/// The encoding of all frames after the hellos.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// Compact and fast; for workers in Rust.
    Bincode,
    /// For workers in other languages.
    Json,
}

/// The supervisor's first frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupervisorHello {
    /// The supervisor's version of the protocol; see [`VERSION`].
    pub version: u32,
    /// The names of the codecs that the supervisor knows.
    pub codecs: Vec<String>,
    /// The longest frame body, in bytes, that the supervisor sends or accepts.
    pub max_frame: u64,
    /// The worker's name, such as `w2.7`.
    pub worker: String,
}

/// The worker's first frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerHello {
    /// The worker's version of the protocol; see [`VERSION`].
    pub version: u32,
    /// The codec of all later frames, in both directions.
    pub codec: Codec,
    /// The worker's process id.
    pub pid: u32,
    /// What the worker can do: [`RECORDER`], [`CANCELS`]. The supervisor ignores names that it
    /// does not know.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// A message from the supervisor, after its hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToWorker<'a> {
    /// A job. The worker runs jobs in the order in which they arrive.
    Job {
        /// The job's id.
        id: u64,
        /// The number of this attempt, from 1.
        attempt: u32,
        /// The job's input. Its meaning is between the author of the job and the worker.
        payload: Cow<'a, [u8]>,
    },
    /// Ends a retraction: the worker discards retracted jobs that arrived before this message,
    /// and runs those that arrive after it.
    Resume,
    /// Asks the worker to end the job early if it still runs. Only for workers with the
    /// capability [`CANCELS`].
    Cancel {
        /// The job's id.
        id: u64,
        /// Why, in the words of the wire; [`CancelReason`] interprets them.
        reason: Cow<'a, str>,
    },
    /// No more jobs will follow; the worker exits.
    Bye,
}

/// Why the supervisor cancels a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelReason {
    /// The job reached its time limit. A reason that this library does not know counts as this
    /// one.
    Timeout,
    /// The job exceeds its memory limit. The worker ends it without a grace period.
    Memory,
}

impl From<&str> for CancelReason {
    fn from(reason: &str) -> Self {
        if reason == "memory" { Self::Memory } else { Self::Timeout }
    }
}

/// A message from the worker, after its hello.
#[derive(Clone, PartialEq, Debug)]
pub enum ToSupervisor<'a> {
    /// The end of a job.
    Reply {
        /// The job's id.
        id: u64,
        /// The number of the attempt, as it came with the job.
        attempt: u32,
        /// How long the job ran, in nanoseconds; 0 if the worker did not measure it.
        service_ns: u64,
        /// The job's output, or why the job failed.
        result: Result<Cow<'a, [u8]>, Failure<'a>>,
    },
    /// A child process of the worker runs the job. A worker may leave this out for jobs shorter
    /// than 10 ms.
    Started {
        /// The job's id.
        id: u64,
        /// The child's process id.
        pid: u32,
    },
    /// Output that is known to belong to the job.
    Output {
        /// The job's id.
        id: u64,
        /// 1 for stdout, 2 for stderr.
        stream: u8,
        /// The output, unchanged.
        bytes: Cow<'a, [u8]>,
    },
    /// The progress of a job.
    Progress {
        /// The job's id.
        id: u64,
        /// The part of the job that is done, from 0 to 1.
        fraction: f64,
        /// A description for people; may be empty.
        note: Cow<'a, str>,
    },
    /// The worker sends nothing after this message, and exits.
    Bye,
}

/// Why a job failed while its worker goes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure<'a> {
    /// Whether the worker's code returned an error or panicked.
    pub kind: FailureKind,
    /// A message for people.
    pub message: Cow<'a, str>,
    /// The place in the source, such as `src/main.rs:7:5`; empty if it is not known.
    pub place: Cow<'a, str>,
}

/// The ways in which a job fails while its worker goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The job's code returned an error.
    Error,
    /// The job's code panicked, and the worker caught the panic.
    Panic,
}
