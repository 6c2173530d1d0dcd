//! The parts that records share: workers, causes, and the ends of processes.

use std::borrow::Cow;

use pool::{event, exit, job::AttemptEnd};
use serde::{Deserialize, Serialize};

use crate::{Millis, names};

/// A worker: the slot, the generation of the worker in it, and its process.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct WorkerRef {
    /// Number of the slot, from 1.
    pub worker: u32,
    /// Generation: 1 for the first worker of the slot, and one more for each that follows.
    pub generation: u32,
    /// Process id of the worker; absent while it has no process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub pid: Option<i32>,
}

impl WorkerRef {
    /// The worker with this id.
    #[must_use]
    pub fn new(worker: event::WorkerId, pid: Option<i32>) -> Self {
        Self { worker: worker.slot, generation: worker.generation, pid }
    }
}

/// Why a process ended or an attempt did not succeed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default, Debug)]
pub struct Cause {
    /// Name of the cause: see [`names::cause`] and [`names::attempt`].
    pub cause: Cow<'static, str>,
    /// For `memory`: `sure` if two signs agree, `likely` if there is only one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certainty: Option<Cow<'static, str>>,
    /// For `signal`: `itself` for a fault of the program, otherwise `outside`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<Cow<'static, str>>,
    /// For a stop: whether the supervisor had to kill the process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub killed: Option<bool>,
    /// For `could_not_start` and `protocol`: what failed, as a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub fault: Option<String>,
}

impl Cause {
    fn named(cause: &'static str) -> Self {
        Self { cause: cause.into(), ..Self::default() }
    }

    /// Why an attempt did not succeed; `None` for one that did.
    pub(crate) fn of_attempt(end: &AttemptEnd) -> Option<Self> {
        match end {
            AttemptEnd::Ok => None,
            AttemptEnd::Ran(ran) if ran.is_ok() => None,
            AttemptEnd::Ran(ran) => Some(ran.cause.into()),
            AttemptEnd::Error(_) | AttemptEnd::Timeout(_) | AttemptEnd::Lost => {
                Some(Self::named(names::attempt(end)))
            }
            AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => Some(death.cause.into()),
        }
    }
}

impl From<exit::Cause> for Cause {
    fn from(cause: exit::Cause) -> Self {
        let mut record = Self::named(names::cause(cause));
        match cause {
            exit::Cause::Memory(certainty) => {
                record.certainty = Some(names::certainty(certainty).into());
            }
            exit::Cause::Signal(sender) => record.sender = Some(names::sender(sender).into()),
            exit::Cause::AskedToStop(asked) => record.killed = Some(asked.killed),
            exit::Cause::CouldNotStart(fault) => record.fault = Some(fault.to_string()),
            exit::Cause::Protocol(fault) => record.fault = Some(fault.to_string()),
            exit::Cause::Exit
            | exit::Cause::CpuLimit
            | exit::Cause::Timeout
            | exit::Cause::Unobserved => {}
        }
        record
    }
}

/// How a process ended, as the kernel reports it, and what it used.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Exit {
    /// The code a shell shows: the exit code, or 128 + the number of the signal.
    pub code: i32,
    /// Name of the signal that ended it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub signal: Option<Cow<'static, str>>,
    /// Whether the kernel wrote a core dump.
    pub core: bool,
    /// Time from the start of the process to its end.
    pub wall_ms: Millis,
    /// CPU time of the process and of the children it waited for.
    pub cpu_ms: Millis,
    /// Names of processes that it left behind; the supervisor killed them.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub left_behind: Vec<String>,
}

/// The end of a worker.
#[derive(Clone, Serialize, Debug)]
pub struct Ended {
    /// The worker that ended.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// Why it ended.
    #[serde(flatten)]
    pub cause: Cause,
    /// How its process ended; absent if its program never ran.
    #[serde(flatten)]
    pub exit: Option<Exit>,
    /// Largest resident memory of the process or of a child it waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Whether `peak_bytes` is exact; otherwise it is an upper bound.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_exact: Option<bool>,
}

impl From<&exit::Evidence> for Exit {
    fn from(evidence: &exit::Evidence) -> Self {
        Self {
            code: evidence.status.shell_code(),
            signal: evidence.status.signal().map(|signal| signal.to_string().into()),
            core: matches!(evidence.status, exit::Status::Signal { core: true, .. }),
            wall_ms: evidence.wall.into(),
            cpu_ms: evidence.cpu.into(),
            left_behind: evidence.left.clone(),
        }
    }
}

impl From<&event::Ended> for Ended {
    fn from(ended: &event::Ended) -> Self {
        Self {
            worker: WorkerRef::new(ended.worker, ended.pid),
            cause: ended.cause.into(),
            exit: ended.evidence.as_ref().map(Exit::from),
            peak_bytes: ended.evidence.as_ref().map(|evidence| evidence.peak.bytes),
            peak_exact: ended.evidence.as_ref().map(|evidence| evidence.peak.exact),
        }
    }
}
