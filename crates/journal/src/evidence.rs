//! Converts the end of an attempt to columns and back: the cause as a word, the evidence as JSON,
//! and the output as bytes. A successful attempt has no evidence, only a reply.

use std::{borrow::Cow, time::Duration};

use serde::{Deserialize, Serialize};

use pool::{
    command::{Captured, Gap, RECORD_BYTES_MAX, Ran},
    exit::{Cause, Evidence, Peak, Status, StopRequest},
    job::{Attempt, AttemptEnd, Death, Failure, FailureKind, Payload},
    signal::Signal,
};

use super::record::Settled;

/// The columns that describe how an attempt ended.
#[derive(Debug)]
pub(super) struct Columns<'a> {
    pub(super) cause: Cow<'static, str>,
    pub(super) evidence: Option<String>,
    pub(super) reply: Option<Cow<'a, [u8]>>,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
enum Stored {
    Error {
        kind: FailureKind,
        message: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        place: Option<String>,
    },
    Timeout(StoredDeath),
    Crashed(StoredDeath),
    Returned(StoredDeath),
    Ran(StoredRan),
    Lost,
}

#[derive(Serialize, Deserialize)]
struct StoredDeath {
    cause: Cause,
    #[serde(flatten)]
    evidence: Option<StoredEvidence>,
}

/// The end of a command. The output of both streams is one blob; `stdout` is the length of the
/// first.
#[derive(Serialize, Deserialize)]
struct StoredRan {
    cause: Cause,
    #[serde(flatten)]
    evidence: Option<StoredEvidence>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    asked: Option<StopRequest>,
    #[serde(default, skip_serializing_if = "is_default")]
    stdout: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    gaps: [Gap; 2],
    #[serde(default, skip_serializing_if = "is_default")]
    leaked: bool,
}

/// Evidence as JSON. Durations are in nanoseconds; fields that are rarely set are omitted.
#[derive(Serialize, Deserialize)]
struct StoredEvidence {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signal: Option<Signal>,
    #[serde(default, skip_serializing_if = "is_default")]
    core: bool,
    wall: u64,
    cpu: u64,
    /// Omitted if it equals `cpu`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    own_cpu: Option<u64>,
    peak: u64,
    #[serde(default, skip_serializing_if = "is_default")]
    exact: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    says_out_of_memory: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    kernel_oom: bool,
    #[serde(default, skip_serializing_if = "is_default")]
    left: Vec<String>,
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Returns the columns for the end of an attempt.
pub(super) fn columns<'a>(attempt: &'a Attempt, settles: Option<&'a Settled>) -> Columns<'a> {
    if let AttemptEnd::Ran(ran) = &attempt.end
        && let Cow::Owned(output) = ran.output.in_memory(RECORD_BYTES_MAX)
    {
        let end = AttemptEnd::Ran(Box::new(Ran { output, ..ran.as_ref().clone() }));
        let attempt = Attempt { end, ..attempt.clone() };
        let Columns { cause, evidence, reply } = columns(&attempt, settles);
        let reply = reply.map(|reply| Cow::Owned(reply.into_owned()));
        return Columns { cause, evidence, reply };
    }
    let reply = match (&attempt.end, settles) {
        (AttemptEnd::Ran(ran), _) => {
            let (stdout, stderr) = (ran.output.stdout(), ran.output.stderr());
            let all = match stderr {
                [] => Cow::Borrowed(stdout),
                _ => Cow::Owned([stdout, stderr].concat()),
            };
            Some(all).filter(|all| !all.is_empty())
        }
        (_, Some(Settled::Ok(reply))) => Some(Cow::Borrowed(reply.as_bytes())),
        (
            AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death),
            _,
        ) => Some(Cow::Borrowed(&*death.last_output)).filter(|last| !last.is_empty()),
        _ => None,
    };
    if attempt.end == AttemptEnd::Ok {
        return Columns { cause: "ok".into(), evidence: None, reply };
    }
    // These types always serialise to JSON.
    let evidence = serde_json::to_string(&Stored::new(&attempt.end)).ok();
    Columns { cause: cause(&attempt.end).into(), evidence, reply }
}

/// The text of the column `cause`. It is part of the storage format: it stays as it is where the
/// names of records change.
fn cause(end: &AttemptEnd) -> String {
    match end {
        AttemptEnd::Ok => "ok".into(),
        AttemptEnd::Ran(ran) if ran.is_ok() => "ok".into(),
        AttemptEnd::Ran(ran) => ran.cause.to_string(),
        AttemptEnd::Error(failure) => match failure.kind {
            FailureKind::Error => "error".into(),
            FailureKind::Panic => "panic".into(),
        },
        AttemptEnd::Timeout(_) => "timeout".into(),
        AttemptEnd::Lost => "lost".into(),
        AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => death.cause.to_string(),
    }
}

/// Returns the end that these columns describe; `None` if they are invalid.
pub(super) fn end(evidence: Option<&str>, reply: Option<&[u8]>, pid: i32) -> Option<AttemptEnd> {
    let Some(evidence) = evidence else { return Some(AttemptEnd::Ok) };
    let reply = reply.unwrap_or_default();
    Some(match serde_json::from_str(evidence).ok()? {
        Stored::Error { kind, message, place } => {
            AttemptEnd::Error(Box::new(Failure { kind, message, place }))
        }
        Stored::Timeout(death) => AttemptEnd::Timeout(Box::new(death.read(reply)?)),
        Stored::Crashed(death) => AttemptEnd::Crashed(Box::new(death.read(reply)?)),
        Stored::Returned(death) => AttemptEnd::Requeued(Box::new(death.read(reply)?)),
        Stored::Ran(ran) => AttemptEnd::Ran(Box::new(ran.read(reply, pid)?)),
        Stored::Lost => AttemptEnd::Lost,
    })
}

impl Stored {
    fn new(end: &AttemptEnd) -> Self {
        let death = |death: &Death| StoredDeath {
            cause: death.cause,
            evidence: death.evidence.as_ref().map(StoredEvidence::new),
        };
        match end {
            AttemptEnd::Error(failure) => {
                let Failure { kind, message, place } = failure.as_ref().clone();
                Self::Error { kind, message, place }
            }
            AttemptEnd::Timeout(end) => Self::Timeout(death(end)),
            AttemptEnd::Crashed(end) => Self::Crashed(death(end)),
            AttemptEnd::Requeued(end) => Self::Returned(death(end)),
            AttemptEnd::Ran(ran) => Self::Ran(StoredRan {
                cause: ran.cause,
                evidence: ran.evidence.as_ref().map(StoredEvidence::new),
                asked: ran.asked,
                stdout: ran.output.stdout().len() as u64,
                gaps: ran.output.gaps(),
                leaked: ran.leaked,
            }),
            AttemptEnd::Lost | AttemptEnd::Ok => Self::Lost,
        }
    }
}

impl StoredDeath {
    fn read(self, reply: &[u8]) -> Option<Death> {
        let evidence = evidence(self.evidence)?;
        Some(Death { cause: self.cause, evidence, last_output: reply.to_vec() })
    }
}

impl StoredRan {
    fn read(self, reply: &[u8], pid: i32) -> Option<Ran> {
        let cut = usize::try_from(self.stdout).ok().filter(|cut| *cut <= reply.len())?;
        let streams = [0..cut, cut..reply.len()];
        Some(Ran {
            pid,
            cause: self.cause,
            evidence: evidence(self.evidence)?,
            asked: self.asked,
            output: Captured::new(Payload::copy(reply), streams, self.gaps),
            leaked: self.leaked,
        })
    }
}

/// Reads evidence, which may be absent; `None` if it is invalid.
fn evidence(stored: Option<StoredEvidence>) -> Option<Option<Evidence>> {
    match stored {
        None => Some(None),
        Some(stored) => stored.read().map(Some),
    }
}

impl StoredEvidence {
    fn new(evidence: &Evidence) -> Self {
        let (code, signal, core) = match evidence.status {
            Status::Code(code) => (Some(code), None, false),
            Status::Signal { signal, core } => (None, Some(signal), core),
        };
        let (cpu, own_cpu) = (evidence.cpu, evidence.own_cpu);
        Self {
            code,
            signal,
            core,
            wall: nanos(evidence.wall),
            cpu: nanos(cpu),
            own_cpu: (own_cpu != cpu).then(|| nanos(own_cpu)),
            peak: evidence.peak.bytes,
            exact: evidence.peak.exact,
            says_out_of_memory: evidence.says_out_of_memory,
            kernel_oom: evidence.kernel_oom,
            left: evidence.left.clone(),
        }
    }

    fn read(self) -> Option<Evidence> {
        let status = match (self.code, self.signal) {
            (Some(code), None) => Status::Code(code),
            (None, Some(signal)) => Status::Signal { signal, core: self.core },
            _ => return None,
        };
        Some(Evidence {
            status,
            wall: Duration::from_nanos(self.wall),
            cpu: Duration::from_nanos(self.cpu),
            own_cpu: Duration::from_nanos(self.own_cpu.unwrap_or(self.cpu)),
            peak: Peak { bytes: self.peak, exact: self.exact },
            says_out_of_memory: self.says_out_of_memory,
            kernel_oom: self.kernel_oom,
            left: self.left,
        })
    }
}
