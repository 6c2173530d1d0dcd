//! A run at one moment: what `ps`, `why`, `top`, the page and the metrics show.

use std::borrow::Cow;

use pool::event;
use serde::{Deserialize, Serialize};

use crate::{Attempt, Millis, RunInfo, Tally, WorkerRef, names};

/// A run at one moment.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Snapshot {
    /// Version of the external form: see [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The facts of the run that do not change.
    pub run: RunInfo,
    /// Time of the snapshot, since the start of the run.
    pub at_ms: Millis,
    /// One of [`RUN_STATES`](crate::names::RUN_STATES).
    pub state: Cow<'static, str>,
    /// How the run ended, once it has: `ok`, `failed`, `gave_up` or `stopped`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Cow<'static, str>>,
    /// Why the run is stopping or was stopped, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// The wanted number of workers, which a user may change.
    #[serde(default)]
    pub workers_wanted: u32,
    /// Live workers, and slots without one, in order of their slots.
    pub workers: Vec<Worker>,
    /// The counters of jobs.
    pub jobs: Jobs,
    /// Number of jobs that did not succeed, by status and cause.
    pub failed: Vec<Count>,
    /// Number of attempts of jobs that have ended, by cause; `ok` for those that succeeded.
    pub attempts: Vec<Count>,
    /// Number of workers that were replaced, by the cause of their end.
    pub restarts: Vec<Count>,
    /// Statistics of the durations of attempts.
    pub service: ServiceTime,
    /// The last jobs that did not succeed, the oldest first.
    pub failures: Vec<Failure>,
    /// The counters over time, the oldest first.
    pub history: Vec<Sample>,
    /// Bytes of output that were dropped because nothing read them.
    pub dropped_bytes: u64,
}

impl Snapshot {
    /// How many workers are up, as in `3 of 4 workers up, 1 given up`.
    #[must_use]
    pub fn standing(&self) -> String {
        let up = self.workers.iter().filter(|worker| worker.id.pid.is_some()).count();
        let given_up = self.workers.iter().filter(|it| it.state == names::GIVEN_UP).count();
        let given_up = if given_up > 0 { format!(", {given_up} given up") } else { String::new() };
        format!("{up} of {} workers up{given_up}", self.workers_wanted)
    }
}

/// A run that has no snapshot, in the list of `ps`.
#[derive(Clone, Serialize, Debug)]
pub struct AbsentRun {
    /// Version of the external form: see [`SCHEMA`](crate::SCHEMA).
    pub schema: u32,
    /// The facts of the run that do not change, if they can be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub run: Option<RunInfo>,
    /// `gone` if the supervisor was killed, `no_answer` if it does not answer.
    pub state: &'static str,
}

/// A live worker, or a slot without one.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Worker {
    /// The worker; the generation is 0 if the slot never had one.
    #[serde(flatten)]
    pub id: WorkerRef,
    /// One of [`WORKER_STATES`](crate::names::WORKER_STATES).
    pub state: Cow<'static, str>,
    /// When its program was executed, since the start of the run.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_ms: Option<Millis>,
    /// Memory of its process and all descendants, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_bytes: Option<u64>,
    /// The job that it runs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub job: Option<CurrentJob>,
    /// Number of times that the slot's worker was replaced.
    pub restarts: u64,
    /// How the slot's last worker ended.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last: Option<LastWorker>,
}

/// The job that a worker runs.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct CurrentJob {
    /// Number of the job.
    pub id: u64,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Beginning of the job's input.
    pub input: String,
    /// When the attempt began, since the start of the run.
    pub began_ms: Millis,
    /// How far it is, if the worker has said so.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub progress: Option<Progress>,
}

/// How far a job is, in the words of its worker.
#[derive(Clone, PartialEq, Serialize, Deserialize, Debug)]
pub struct Progress {
    /// The part that is done, from 0 to 1, with four decimals.
    pub fraction: f64,
    /// A description for people.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub note: String,
}

impl From<&event::Progress> for Progress {
    fn from(progress: &event::Progress) -> Self {
        let fraction = f64::from(progress.permyriad) / 10_000.0;
        Self { fraction, note: progress.note.to_string() }
    }
}

/// How the last worker of a slot ended.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct LastWorker {
    /// Generation of the worker.
    pub generation: u32,
    /// Its process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
    /// Name of the cause.
    pub cause: Cow<'static, str>,
    /// The cause as a sentence.
    pub why: String,
}

/// The counters of jobs, with what is known only of a live run.
#[derive(Clone, Copy, Serialize, Deserialize, Debug)]
pub struct Jobs {
    /// Number of all jobs, if it is known.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
    /// Jobs that workers run at the moment; other jobs in flight wait in workers.
    pub running: u64,
    /// The counters.
    #[serde(flatten)]
    pub tally: Tally,
}

/// The number of jobs, attempts or workers that ended by a cause.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Count {
    /// Status of the counted jobs; absent for attempts and workers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub status: Option<Cow<'static, str>>,
    /// Name of the cause.
    pub cause: Cow<'static, str>,
    /// The number of occurrences.
    pub count: u64,
}

/// Statistics of the durations of attempts.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct ServiceTime {
    /// Number of attempts.
    pub count: u64,
    /// Sum of the durations.
    pub sum_ms: Millis,
    /// The median.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p50_ms: Option<Millis>,
    /// The 99th percentile.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub p99_ms: Option<Millis>,
    /// A histogram: the buckets are cumulative.
    pub buckets: Vec<Bucket>,
}

/// A bucket of a histogram.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Bucket {
    /// Upper boundary, in nanoseconds: a power of two, which has no short form in milliseconds.
    pub below_ns: u64,
    /// Number of attempts that took less time than the boundary.
    pub count: u64,
}

/// A job that did not succeed.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Failure {
    /// Number among the jobs that did not succeed, from 1.
    pub number: u64,
    /// When the job ended, since the start of the run.
    pub at_ms: Millis,
    /// Number of the job.
    pub id: u64,
    /// Number of the line or argument that the job came from, from 1.
    pub position: u64,
    /// Beginning of the job's input.
    pub input: String,
    /// `failed`, `quarantined` or `too_long`.
    pub status: Cow<'static, str>,
    /// Name of the cause.
    pub cause: Cow<'static, str>,
    /// The cause as a sentence.
    pub why: String,
    /// The last of its attempts, in order.
    pub attempts: Vec<Attempt<'static>>,
}

/// The counters at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Sample {
    /// The moment, since the start of the run.
    pub at_ms: Millis,
    /// Jobs that were done, well or not; not those that were not run.
    pub settled: u64,
    /// Jobs that had ended and did not succeed.
    pub failed: u64,
    /// Memory of all workers, in bytes.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_bytes: Option<u64>,
}
