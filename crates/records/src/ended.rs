//! Workers and the ends of processes: the parts that records share.

use std::borrow::Cow;

use pool::{event, exit, job::AttemptEnd};
use serde::{Deserialize, Serialize};

use crate::{Exit, names};

/// A worker: the slot, the generation of the worker in it, and its process.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct WorkerRef {
    /// Number of the slot, from 1.
    pub worker: u32,
    /// Generation: 1 for the first worker of the slot, and one more for each that follows.
    pub generation: u32,
    /// Process of the worker, where the event has one.
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
    /// Of `memory`: `sure` where two signs agree, `likely` where there is one.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub certainty: Option<Cow<'static, str>>,
    /// Of `signal`: `itself` for a fault of the program, else `outside`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sender: Option<Cow<'static, str>>,
    /// Of a stop: whether the supervisor had to kill the process.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub killed: Option<bool>,
    /// Of `could_not_start` and `protocol`: what failed, for people.
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

/// The end of a worker.
#[derive(Clone, Serialize, Debug)]
pub struct Ended {
    /// The worker that ended.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// Why it ended.
    #[serde(flatten)]
    pub cause: Cause,
    /// How its process ended; absent where its program never ran.
    #[serde(flatten)]
    pub exit: Option<Exit>,
    /// Largest resident memory of the process or of a child it waited for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_bytes: Option<u64>,
    /// Whether that is exact; otherwise the process used no more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peak_exact: Option<bool>,
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
