//! What a journal records: events to append, and runs and attempts as they are read back.

use std::{collections::BTreeMap, time::Duration};

use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, JobEnd, Payload},
    limits::Limits,
};

use super::identity::Digest;

/// Something to be recorded. Jobs are identified by their number in the journal, which is the key
/// of their row; [`resume`](super::resume) assigns it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// A new job. Its number is one more than that of the last job.
    ///
    /// A job that is too long to be kept is not recorded: it is refused each time it is read.
    Job {
        /// Number of the job.
        job: u64,
        /// Identifies the content of the job.
        digest: Digest,
        /// Position of the job in the input of this run.
        position: u64,
        /// Content of the job.
        payload: Payload,
    },
    /// An attempt starts.
    Started {
        /// Number of the job.
        job: u64,
        /// Number of the attempt in this run, from 1.
        number: u32,
        /// The worker that runs the job.
        worker: WorkerId,
        /// The process of that worker.
        pid: i32,
        /// Time since the start of the run.
        began: Duration,
    },
    /// An attempt has ended. Its start need not have been recorded.
    Ended {
        /// Number of the job.
        job: u64,
        /// The attempt.
        attempt: Attempt,
        /// The outcome, if this attempt settles the job.
        settles: Option<Settled>,
    },
    /// An attempt whose start was recorded never began: the job was sent to a worker and was
    /// requeued. The next attempt takes its row.
    Requeued {
        /// Number of the job.
        job: u64,
    },
    /// The outcomes of all jobs from `first` to `last` have been written.
    Sent {
        /// Number of the first job.
        first: u64,
        /// Number of the last job.
        last: u64,
    },
}

impl Record {
    /// Returns the approximate size in memory.
    pub(super) fn bytes(&self) -> usize {
        let more = match self {
            Self::Job { payload, .. } => payload.len(),
            Self::Ended { attempt, settles, .. } => {
                let reply = match settles {
                    Some(Settled::Ok(reply)) => reply.len(),
                    _ => 0,
                };
                reply + end_bytes(&attempt.end)
            }
            Self::Started { .. } | Self::Requeued { .. } | Self::Sent { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

fn end_bytes(end: &AttemptEnd) -> usize {
    match end {
        AttemptEnd::Ok | AttemptEnd::Lost => 0,
        AttemptEnd::Error(failure) => failure.message.len(),
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => {
            death.last_output.len()
        }
        AttemptEnd::Ran(ran) => ran.output.stdout().len() + ran.output.stderr().len(),
    }
}

/// The recorded outcome of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settled {
    /// The job succeeded with this reply.
    Ok(Payload),
    /// The job failed.
    Failed,
    /// The job is quarantined.
    Crashed,
}

impl Settled {
    /// Returns what to record of an outcome; `None` for a job that a later run does again.
    #[must_use]
    pub fn of(end: &JobEnd) -> Option<Self> {
        match end {
            JobEnd::Ok(reply) => Some(Self::Ok(reply.clone())),
            JobEnd::Failed => Some(Self::Failed),
            JobEnd::Crashed => Some(Self::Crashed),
            JobEnd::TooLong { .. } | JobEnd::Interrupted | JobEnd::NotRun => None,
        }
    }

    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
        }
    }
}

impl From<Settled> for JobEnd {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Ok(reply) => Self::Ok(reply),
            Settled::Failed => Self::Failed,
            Settled::Crashed => Self::Crashed,
        }
    }
}

/// The program and the settings of a run, which are compared when the run is continued.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Header {
    /// The worker program and its arguments, or the words of a command.
    pub program: Vec<String>,
    /// Digest of the file of the program.
    pub digest: Option<Digest>,
    /// Options that decide how jobs end, by name.
    pub settings: BTreeMap<String, String>,
    /// Resource limits in force, which are evidence of why processes end.
    pub limits: Limits,
}

/// An invocation of the supervisor.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Number of the run, from 1.
    pub number: u64,
    /// When the run began, since the Unix epoch.
    pub started: Duration,
    /// Process id of the supervisor.
    pub pid: u32,
    /// Version of the supervisor.
    pub version: String,
    /// Name of the [`Sync`](super::Sync) mode.
    pub sync: String,
    /// Program and settings.
    pub header: Header,
    /// When the run ended, since the Unix epoch; `None` if it is in progress or crashed.
    pub ended: Option<Duration>,
    /// Exit status of the supervisor.
    pub status: Option<u8>,
}

/// A recorded attempt.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// Key of the row.
    pub id: u64,
    /// Number of the run.
    pub run: u64,
    /// Number of the job.
    pub job: u64,
    /// The attempt. Its end is [`AttemptEnd::Lost`] if no end was recorded.
    pub attempt: Attempt,
    /// Whether an end was recorded.
    pub has_ended: bool,
    /// The outcome, if this attempt settled the job.
    pub settles: Option<Settled>,
}
