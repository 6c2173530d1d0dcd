//! What a user may ask a live run to do, and how the run answers: with a code for programs and a
//! sentence for people.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use pool::event::WorkerId;

/// A change to a live run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum ControlCommand {
    /// Start no more jobs, let those in flight finish, and end.
    Drain,
    /// End the run.
    Stop {
        /// Kill the workers without a grace period.
        #[serde(default)]
        now: bool,
    },
    /// Kill a worker, or start the worker of a slot that has none.
    Kill {
        /// The worker to kill.
        worker: WorkerName,
    },
    /// Replace a worker: it finishes its jobs and gets the grace period, and a new one takes over.
    Restart {
        /// The worker to replace.
        worker: WorkerName,
    },
    /// Replace all workers, one by one, as HUP does.
    Roll,
    /// Send a signal to the processes of workers.
    Signal {
        /// Its name, such as `HUP`.
        signal: String,
        /// The workers; all if there are none.
        #[serde(default)]
        workers: Vec<WorkerName>,
    },
    /// Begin no more jobs until the run is resumed.
    Pause,
    /// Begin jobs again.
    Resume,
    /// Cancel a job, whether it runs or waits.
    Cancel {
        /// The job's number.
        job: u64,
        /// Kill the worker without a grace period.
        #[serde(default)]
        now: bool,
    },
    /// Run a job again that failed.
    Retry {
        /// The job's number.
        job: u64,
    },
    /// Change the number of workers.
    Scale {
        /// The number of workers from now on.
        workers: u32,
    },
    /// Change the number of workers relative to what it is now.
    ScaleBy {
        /// The number of workers to add, or to remove where it is negative.
        workers: i32,
    },
}

/// What a command did. `Display` is the sentence that the command line prints.
#[derive(Clone, PartialEq, Eq, Serialize, Debug)]
#[serde(tag = "done", rename_all = "snake_case")]
pub enum Done {
    /// The run drains.
    Draining,
    /// The run stops.
    Stopping {
        /// Without a grace period.
        now: bool,
    },
    /// The worker of a slot that had none is started.
    Started {
        /// The slot.
        worker: WorkerName,
    },
    /// These workers were killed.
    Killed {
        /// The workers, with their generations.
        workers: Vec<WorkerName>,
    },
    /// These workers are being replaced.
    Restarting {
        /// The workers, with their generations.
        workers: Vec<WorkerName>,
    },
    /// All workers are being replaced.
    Rolling,
    /// A signal was sent to these workers.
    Signalled {
        /// The name of the signal.
        signal: String,
        /// The workers, with their generations.
        workers: Vec<WorkerName>,
    },
    /// No more jobs begin.
    Paused {
        /// The number of jobs that still run.
        running: u64,
    },
    /// Jobs begin again.
    Resumed,
    /// The job ends, or does not begin.
    Cancelled {
        /// The job's number.
        job: u64,
        /// The worker that runs it; `None` if it had not begun.
        worker: Option<WorkerName>,
    },
    /// The job was queued again.
    Retried {
        /// The job's number.
        job: u64,
    },
    /// The number of workers changes.
    Scaled {
        /// The number of workers until now.
        before: u32,
        /// The number of workers from now on.
        workers: u32,
    },
}

impl fmt::Display for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Draining => f.write_str("no job is started; what runs finishes"),
            Self::Stopping { now: false } => f.write_str("asked to stop"),
            Self::Stopping { now: true } => f.write_str("asked to stop at once"),
            Self::Killed { workers } => write!(f, "{} killed", list(workers)),
            Self::Restarting { workers } => write!(f, "{} is being replaced", list(workers)),
            Self::Rolling => f.write_str("all workers are being replaced, one by one"),
            Self::Signalled { signal, workers } => write!(f, "{signal} sent to {}", list(workers)),
            Self::Paused { running } => {
                write!(f, "no job is started until resume; running jobs finish: {running}")
            }
            Self::Resumed => f.write_str("jobs are started again"),
            Self::Cancelled { job, worker: None } => write!(f, "job {job} is not begun"),
            Self::Cancelled { job, worker: Some(worker) } => {
                write!(f, "job {job} is ended, on {worker}")
            }
            Self::Retried { job } => write!(f, "job {job} is done again"),
            Self::Started { worker } => write!(f, "{worker} is started again"),
            Self::Scaled { before, workers: 1 } => write!(f, "{before} -> 1 worker from now on"),
            Self::Scaled { before, workers } => {
                write!(f, "{before} -> {workers} workers from now on")
            }
        }
    }
}

/// Why a run did not do what it was asked. On the wire the variant is a code, such as
/// `no_such_worker`; `Display` is the sentence that the command line prints.
#[derive(Clone, PartialEq, Eq, Serialize, Debug, thiserror::Error)]
#[serde(tag = "error", rename_all = "snake_case")]
pub enum Refusal {
    /// No live worker has this name.
    #[error("there is no worker {worker}: there are {}", list(live))]
    NoSuchWorker {
        /// The worker that was named.
        worker: WorkerName,
        /// Up to 16 workers that are live.
        live: Vec<WorkerName>,
    },
    /// The program ends for good when its workers end, so none is replaced.
    #[error(
        "workers of this run are not replaced: that is for --restart always and for runs with jobs"
    )]
    CannotReplace,
    /// No signal has this name.
    #[error("there is no signal `{signal}`: write a name such as HUP, or a number")]
    NoSuchSignal {
        /// The name that was given.
        signal: String,
    },
    /// The system refused to send the signal.
    #[error("{signal} cannot be sent to {worker}: {reason}")]
    CannotSignal {
        /// The name of the signal.
        signal: String,
        /// The worker.
        worker: WorkerName,
        /// What the system said.
        reason: String,
    },
    /// Without jobs there is nothing to pause.
    #[error("pause and resume are for runs with jobs: this one runs a program without any")]
    CannotPause,
    /// No job has this number.
    #[error("there is no job {job}: they are numbered from 1 to {accepted} so far")]
    NoSuchJob {
        /// The number that was named.
        job: u64,
        /// The number of jobs accepted so far.
        accepted: u64,
    },
    /// The workers of this run take no jobs.
    #[error("this run has no jobs")]
    NoJobs,
    /// The job has ended, and is not among the recent failures.
    #[error("job {job} is over, and did not fail lately: there is nothing to be done")]
    JobEnded {
        /// The job's number.
        job: u64,
    },
    /// The job has not ended, so it cannot be run again.
    #[error("job {job} is not done yet: it is cancelled with `cancel {job}`")]
    JobNotEnded {
        /// The job's number.
        job: u64,
    },
    /// The job is longer than a frame may be.
    #[error("job {job} is too long for any worker: allow more with --max-frame")]
    JobTooLong {
        /// The job's number.
        job: u64,
    },
    /// The run kept only the beginning of the job's input.
    #[error(
        "job {job} has an input of {input_bytes} bytes, of which {kept_bytes} are kept: put it \
         into the input once more"
    )]
    InputNotKept {
        /// The job's number.
        job: u64,
        /// The length of its input, in bytes.
        input_bytes: usize,
        /// The number of bytes of an input that a run keeps.
        kept_bytes: usize,
    },
    /// The run is stopping.
    #[error("the run is stopping: nothing more is started")]
    Stopping,
    /// A run cannot have this number of workers.
    #[error("{reason}")]
    InvalidWorkerCount {
        /// The number that was asked for.
        workers: u32,
        /// What is wrong with it.
        reason: String,
    },
    /// The supervisor may not open enough files for this number of workers.
    #[error("{reason}")]
    TooFewOpenFiles {
        /// The number of workers that was asked for.
        workers: u32,
        /// What is missing.
        reason: String,
    },
    /// The run belongs to another user.
    #[error("this run belongs to another user")]
    PermissionDenied,
    /// The run has ended.
    #[error("the run is over")]
    RunOver,
    /// The request is longer than a request may be.
    #[error("a request may have at most {bytes_max} bytes")]
    RequestTooLong {
        /// The limit, in bytes.
        bytes_max: usize,
    },
    /// The request is of another version of the protocol.
    #[error("this run speaks version {supported}, and not {schema}: use its own supervisor")]
    UnsupportedSchema {
        /// The version of the request.
        schema: u32,
        /// The version that the run understands.
        supported: u32,
    },
    /// The request is not one that the run knows.
    #[error("invalid request: {reason}")]
    InvalidRequest {
        /// What is wrong with it.
        reason: String,
    },
}

fn list(workers: &[WorkerName]) -> String {
    if workers.is_empty() {
        return "none".into();
    }
    let names: Vec<_> = workers.iter().map(WorkerName::to_string).collect();
    names.join(", ")
}

/// A worker as people write it: `w2`, or `w2.7` for the seventh generation of slot 2.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct WorkerName {
    /// The slot's number, from 1.
    pub slot: u32,
    /// The generation, from 1; `None` for any.
    #[serde(default)]
    pub generation: Option<u32>,
}

impl WorkerName {
    /// Whether the name fits this worker.
    #[must_use]
    pub fn matches(self, worker: WorkerId) -> bool {
        self.slot == worker.slot
            && self.generation.is_none_or(|generation| generation == worker.generation)
    }
}

impl From<WorkerId> for WorkerName {
    fn from(worker: WorkerId) -> Self {
        Self { slot: worker.slot, generation: Some(worker.generation) }
    }
}

impl fmt::Display for WorkerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            Some(generation) => write!(f, "w{}.{generation}", self.slot),
            None => write!(f, "w{}", self.slot),
        }
    }
}

/// A text that does not name a worker.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no worker: write w2, or w2.7 for its seventh generation")]
pub struct InvalidWorkerName(String);

impl FromStr for WorkerName {
    type Err = InvalidWorkerName;

    fn from_str(text: &str) -> Result<Self, InvalidWorkerName> {
        let parse = || {
            let (slot, generation) = match text.strip_prefix('w')?.split_once('.') {
                Some((slot, generation)) => (slot, Some(generation.parse().ok()?)),
                None => (text.strip_prefix('w')?, None),
            };
            let slot = slot.parse().ok().filter(|slot| *slot > 0)?;
            Some(Self { slot, generation })
        };
        parse().ok_or_else(|| InvalidWorkerName(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_name_reads_back_as_it_is_written() {
        for (text, slot, generation) in [("w2", 2, None), ("w2.7", 2, Some(7))] {
            let worker: WorkerName = text.parse().unwrap();
            assert_eq!(
                (worker.slot, worker.generation, worker.to_string().as_str()),
                (slot, generation, text)
            );
        }
        for text in ["2", "w", "w0", "w1.", "w1.x", "wx", ""] {
            assert!(text.parse::<WorkerName>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_sentence_lists_the_workers_that_are_live() {
        let [worker, live] = ["w9", "w1.1"].map(|text| text.parse::<WorkerName>().unwrap());
        let refused = |live| Refusal::NoSuchWorker { worker, live }.to_string();
        assert_eq!(refused(vec![live, live]), "there is no worker w9: there are w1.1, w1.1");
        assert_eq!(refused(Vec::new()), "there is no worker w9: there are none");
    }
}
