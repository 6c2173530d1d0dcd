//! What do a supervisor and its worker say to one another? `PROTOCOL.md` tells it to authors in
//! other languages; this is the same in types. [`crate::codec`] turns it into bytes.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The version of the protocol. The first frame each way names it, as JSON.
pub const VERSION: u32 = 1;

/// The variable that announces the descriptors: `PID:JOBS:REPLIES:RECORDER`.
///
/// With the process id, as `LISTEN_PID` has it, so that a worker's own child that inherits the
/// variable does not take itself for a worker.
pub const VARIABLE: &str = "SUPERVISOR_WIRE";

/// The capability of a worker that keeps the flight recorder.
pub const RECORDER: &str = "recorder";
/// The capability of a worker that hears [`ToWorker::Cancel`] while it runs a job.
pub const CANCELS: &str = "cancels";

/// How frames after the first are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Codec {
    /// For workers that link this library.
    Bincode,
    /// For workers in other languages.
    Json,
}

/// The supervisor's first frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SupervisorHello {
    /// [`VERSION`].
    pub version: u32,
    /// The codecs it knows, by name.
    pub codecs: Vec<String>,
    /// The longest frame body, in bytes, that it sends or accepts.
    pub max_frame: u64,
    /// The worker's name, such as `w2.7`.
    pub worker: String,
}

/// The worker's first frame.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct WorkerHello {
    /// [`VERSION`].
    pub version: u32,
    /// How both sides write from now on.
    pub codec: Codec,
    /// Its process id.
    pub pid: u32,
    /// What it can do: [`RECORDER`], [`CANCELS`]. Unknown ones are ignored.
    #[serde(default)]
    pub capabilities: Vec<String>,
}

/// What a supervisor says after its hello.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToWorker<'a> {
    /// A job to be done. Jobs are done in the order they come.
    Job {
        /// Its number.
        id: u64,
        /// Which try of it this is, from 1.
        attempt: u32,
        /// What is to be done, in the words of whoever wrote the job.
        payload: Cow<'a, [u8]>,
    },
    /// Jobs that came before this and were recalled are forgotten; those after it count.
    Resume,
    /// The job, if it still runs, shall end early. For workers that said [`CANCELS`].
    Cancel {
        /// Its number.
        id: u64,
        /// Why: `timeout`, or `memory` for one that holds too much and is to have no more time.
        reason: Cow<'a, str>,
    },
    /// There are no more jobs: the worker shall end.
    Bye,
}

/// Why a job shall end early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CancelReason {
    /// Its time is over. (So it is taken where the supervisor gives a reason that this library
    /// does not know.)
    Timeout,
    /// It holds more memory than it may: it is to have no more time.
    Memory,
}

impl From<&str> for CancelReason {
    fn from(reason: &str) -> Self {
        if reason == "memory" { Self::Memory } else { Self::Timeout }
    }
}

/// What a worker says after its hello.
#[derive(Clone, PartialEq, Debug)]
pub enum ToSupervisor<'a> {
    /// How a job ended.
    Reply {
        /// The job's number.
        id: u64,
        /// The attempt, as it came with the job.
        attempt: u32,
        /// How long the job ran, in nanoseconds; 0 if that was not measured.
        service_ns: u64,
        /// What came of it.
        result: Result<Cow<'a, [u8]>, Failure<'a>>,
    },
    /// The job is run by this process of its own. May be left out for jobs under 10 ms.
    Started {
        /// The job's number.
        id: u64,
        /// The process.
        pid: u32,
    },
    /// Output that surely belongs to the job.
    Output {
        /// The job's number.
        id: u64,
        /// 1 for stdout, 2 for stderr.
        stream: u8,
        /// As it came.
        bytes: Cow<'a, [u8]>,
    },
    /// How far the job has come.
    Progress {
        /// The job's number.
        id: u64,
        /// From 0 to 1.
        fraction: f64,
        /// For people.
        note: Cow<'a, str>,
    },
    /// The worker will say nothing more.
    Bye,
}

/// Why a job came to nothing.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure<'a> {
    /// Whether the worker's code gave an error back, or panicked.
    pub kind: FailureKind,
    /// For people.
    pub message: Cow<'a, str>,
    /// Where in the source, such as `src/main.rs:7:5`; empty if it is not known.
    pub place: Cow<'a, str>,
}

/// The ways in which a job fails and its worker goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// An error was given back.
    Error,
    /// A panic was caught.
    Panic,
}
