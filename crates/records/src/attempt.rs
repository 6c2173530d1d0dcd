//! The record of an attempt: how it ended, everything that was measured, and the output of a
//! command.

use std::borrow::Cow;

use pool::{
    command::{Gap, RECORD_BYTES_MAX, Ran},
    exit::{self, Evidence},
    hang,
    job::{self, AttemptEnd, Death},
};
use serde::{Deserialize, Serialize};
use text::utf8::from_character;

use crate::{
    Cause, Exit, Millis, WorkerRef,
    json::{is_false, text_or_base64},
    names, words,
};

/// An attempt of a job. It has the same form in records, in snapshots and in the export of a
/// journal; snapshots add `why` and omit the long fields.
#[derive(Clone, Serialize, Deserialize, Debug)]
pub struct Attempt<'a> {
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// The worker that ran it.
    #[serde(flatten)]
    pub worker: WorkerRef,
    /// When it began, since the start of the run.
    pub began_ms: Millis,
    /// How long it ran.
    pub duration_ms: Millis,
    /// Why it did not succeed; absent if it did.
    #[serde(flatten)]
    pub cause: Option<Cause>,
    /// The cause as a sentence.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub why: Option<String>,
    /// The attempt did not count against the job's budgets: the job was not to blame.
    #[serde(skip_serializing_if = "is_false", default)]
    pub uncharged: bool,
    /// The message with which the worker reported a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub message: Option<Cow<'a, str>>,
    /// Position in the worker's source code at which the job failed, as the worker reported it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub place: Option<Cow<'a, str>>,
    /// How the process ended, if the attempt ended with its process.
    #[serde(flatten)]
    pub exit: Option<Exit>,
    /// Largest resident memory of the process up to the end of the attempt.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_bytes: Option<u64>,
    /// Whether `peak_bytes` is exact; otherwise it is an upper bound. Absent while the process
    /// lives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub peak_exact: Option<bool>,
    /// End of the output of a worker that died.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_output: Option<Cow<'a, str>>,
    /// `last_output` in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub last_output_base64: Option<String>,
    /// What the job was doing when its time limit was reached.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub hang: Option<Hang>,
    /// What a command wrote to its standard output.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stdout: Option<Cow<'a, str>>,
    /// `stdout` in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stdout_base64: Option<String>,
    /// Bytes omitted from the middle of `stdout`: their number, and the offset at which they are
    /// missing.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stdout_gap: Option<Gap>,
    /// What a command wrote to its standard error.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stderr: Option<Cow<'a, str>>,
    /// `stderr` in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stderr_base64: Option<String>,
    /// Bytes omitted from the middle of `stderr`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub stderr_gap: Option<Gap>,
    /// A process that the command left behind kept its output open.
    #[serde(skip_serializing_if = "is_false", default)]
    pub leaked: bool,
}

/// What a job was doing when its time limit was reached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Hang {
    /// `stopped`, `busy`, `starved`, `disk` or `asleep`.
    pub kind: Cow<'static, str>,
    /// Time for which the processes were watched.
    pub window_ms: Millis,
    /// CPU time that they used in the window.
    pub cpu_ms: Millis,
    /// Time in the window for which their threads were ready to run but had no processor.
    pub cpu_wait_ms: Millis,
    /// The processes of the job, oldest first.
    pub processes: Vec<HungProcess>,
}

/// A process of a job that reached its time limit.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct HungProcess {
    /// Process id.
    pub pid: i32,
    /// The kernel's short name of its program.
    pub name: String,
    /// The kernel's letter for its state: `R`, `S`, `D`, `T`, `Z`.
    pub state: char,
    /// Kernel function in which its first thread sleeps.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub wchan: Option<String>,
    /// Kernel stack of that thread, the innermost function first.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub stack: Vec<String>,
}

impl<'a> Attempt<'a> {
    /// Creates the complete record of an attempt.
    #[must_use]
    pub fn new(attempt: &'a job::Attempt) -> Self {
        let evidence = evidence(&attempt.end);
        let mut record = Self {
            exit: evidence.map(Exit::from),
            hang: attempt.hang.as_deref().map(Hang::from),
            ..Self::bare(attempt)
        };
        match &attempt.end {
            AttemptEnd::Error(failure) => {
                record.message = Some(failure.message.as_str().into());
                record.place = failure.place.as_deref().map(Cow::from);
            }
            AttemptEnd::Timeout(death)
            | AttemptEnd::Crashed(death)
            | AttemptEnd::Requeued(death) => record.set_last_output(death),
            AttemptEnd::Ran(ran) => record.set_output(ran),
            AttemptEnd::Ok | AttemptEnd::Lost => {}
        }
        record
    }

    fn bare(attempt: &job::Attempt) -> Self {
        // The peak in the evidence covers the whole lifetime of the process.
        let peak = evidence(&attempt.end).map(|evidence| evidence.peak);
        Self {
            attempt: attempt.number,
            worker: WorkerRef::new(attempt.worker, Some(attempt.pid)),
            began_ms: attempt.began.into(),
            duration_ms: attempt.took.into(),
            cause: Cause::of_attempt(&attempt.end),
            why: None,
            uncharged: is_uncharged(&attempt.end),
            message: None,
            place: None,
            exit: None,
            peak_bytes: peak.map(|peak| peak.bytes).or(attempt.peak_bytes),
            peak_exact: peak.map(|peak| peak.exact),
            last_output: None,
            last_output_base64: None,
            hang: None,
            stdout: None,
            stdout_base64: None,
            stdout_gap: None,
            stderr: None,
            stderr_base64: None,
            stderr_gap: None,
            leaked: false,
        }
    }

    fn set_last_output(&mut self, death: &'a Death) {
        let (text, base64) = text_or_base64(from_character(&death.last_output));
        self.last_output = text.filter(|text| !text.is_empty());
        self.last_output_base64 = base64;
    }

    fn set_output(&mut self, ran: &'a Ran) {
        let output = ran.output.in_memory(RECORD_BYTES_MAX);
        [self.stdout_gap, self.stderr_gap] =
            output.gaps().map(|gap| Some(gap).filter(|gap| gap.bytes > 0));
        match output {
            Cow::Borrowed(output) => {
                (self.stdout, self.stdout_base64) = text_or_base64(output.stdout());
                (self.stderr, self.stderr_base64) = text_or_base64(output.stderr());
            }
            Cow::Owned(output) => {
                let owned = |(text, base64): (Option<Cow<'_, str>>, _)| {
                    (text.map(|text| Cow::Owned(text.into_owned())), base64)
                };
                (self.stdout, self.stdout_base64) = owned(text_or_base64(output.stdout()));
                (self.stderr, self.stderr_base64) = owned(text_or_base64(output.stderr()));
            }
        }
        self.leaked = ran.leaked;
    }
}

impl Attempt<'static> {
    /// Creates the record of an attempt for a snapshot: it has the sentence `why`, and only one
    /// stream of output, in which bytes that are not UTF-8 are replaced.
    #[must_use]
    pub fn brief(attempt: &job::Attempt) -> Self {
        let lossy = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            Some(Cow::from(text)).filter(|text| !text.is_empty())
        };
        let mut record = Self { why: Some(words::failure(attempt)), ..Self::bare(attempt) };
        match &attempt.end {
            AttemptEnd::Ran(ran) if ran.output.stderr().is_empty() => {
                record.stdout = lossy(ran.output.stdout());
            }
            AttemptEnd::Ran(ran) => record.stderr = lossy(ran.output.stderr()),
            AttemptEnd::Timeout(death)
            | AttemptEnd::Crashed(death)
            | AttemptEnd::Requeued(death) => record.last_output = lossy(&death.last_output),
            AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => {}
        }
        record
    }

    /// The output that a snapshot has of the attempt.
    #[must_use]
    pub fn output(&self) -> &str {
        let streams = [&self.stderr, &self.stdout, &self.last_output];
        streams.into_iter().flatten().next().map_or("", |text| text)
    }
}

/// Whether the attempt does not count against the job's budgets.
fn is_uncharged(end: &AttemptEnd) -> bool {
    match end {
        AttemptEnd::Requeued(_) | AttemptEnd::Lost => true,
        AttemptEnd::Ran(ran) => matches!(ran.cause, exit::Cause::AskedToStop(_)),
        _ => false,
    }
}

/// Returns the evidence of how the process of an attempt ended, if it ended with the attempt.
#[must_use]
pub fn evidence(end: &AttemptEnd) -> Option<&Evidence> {
    match end {
        AttemptEnd::Ran(ran) => ran.evidence.as_ref(),
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Requeued(death) => {
            death.evidence.as_ref()
        }
        AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => None,
    }
}

impl From<&hang::Hang> for Hang {
    fn from(hang: &hang::Hang) -> Self {
        let process = |seen: &hang::Seen| HungProcess {
            pid: seen.pid,
            name: seen.name.clone(),
            state: seen.state,
            wchan: seen.wchan.clone(),
            stack: seen.stack.clone(),
        };
        Self {
            kind: names::hang(hang.kind()).into(),
            window_ms: hang.window.into(),
            cpu_ms: hang.cpu.into(),
            cpu_wait_ms: hang.unserved.into(),
            processes: hang.processes.iter().map(process).collect(),
        }
    }
}
