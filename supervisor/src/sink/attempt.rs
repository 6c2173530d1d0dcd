//! What does the record of an attempt look like? How it ended, all that was measured, and what a
//! command wrote and left behind.

use std::time::Duration;

use serde::Serialize;

use super::record::{Measured, Who, Why, evidence, is_false, text_or_base64};
use crate::words::attempt_cause;
use pool::{
    command::{Gap, Ran},
    exit::Cause,
    hang::{Hang, Seen},
    job::{Attempt, AttemptEnd, Death},
};

#[derive(Serialize)]
pub(super) struct AttemptRecord<'a> {
    attempt: u32,
    #[serde(flatten)]
    who: Who,
    began_ms: f64,
    ms: f64,
    #[serde(flatten)]
    why: Option<Why>,
    /// It came to nothing, and not through the job.
    #[serde(skip_serializing_if = "is_false")]
    uncharged: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<&'a str>,
    #[serde(flatten)]
    measured: Option<Measured>,
    #[serde(skip_serializing_if = "Option::is_none")]
    peak_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_output: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_output_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hang: Option<HangRecord<'a>>,
    #[serde(flatten)]
    written: Option<Written<'a>>,
}

/// What was done when the time was over.
#[derive(Serialize)]
struct HangRecord<'a> {
    kind: String,
    /// In the time watched.
    window_ms: f64,
    cpu_ms: f64,
    /// Ready to run, and without a processor.
    unserved_ms: f64,
    processes: Vec<SeenRecord<'a>>,
}

#[derive(Serialize)]
struct SeenRecord<'a> {
    pid: i32,
    name: &'a str,
    state: char,
    #[serde(skip_serializing_if = "Option::is_none")]
    wchan: Option<&'a str>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    stack: &'a [String],
}

impl<'a> HangRecord<'a> {
    fn new(hang: &'a Hang) -> Self {
        let seen = |seen: &'a Seen| SeenRecord {
            pid: seen.pid,
            name: &seen.name,
            state: seen.state,
            wchan: seen.wchan.as_deref(),
            stack: &seen.stack,
        };
        Self {
            kind: hang.kind().to_string(),
            window_ms: milliseconds(hang.window),
            cpu_ms: milliseconds(hang.cpu),
            unserved_ms: milliseconds(hang.unserved),
            processes: hang.processes.iter().map(seen).collect(),
        }
    }
}

/// What a command wrote, and what it left.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_base64: Option<String>,
    /// Bytes that are missing behind so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout_gap: Option<Gap>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr_gap: Option<Gap>,
    /// Whether a process that it left behind kept its output open.
    #[serde(skip_serializing_if = "is_false")]
    leaked: bool,
}

impl<'a> Written<'a> {
    fn new(ran: &'a Ran) -> Self {
        let (stdout, stdout_base64) = text_or_base64(ran.output.stdout());
        let (stderr, stderr_base64) = text_or_base64(ran.output.stderr());
        let [stdout_gap, stderr_gap] =
            ran.output.gaps().map(|gap| Some(gap).filter(|gap| gap.bytes > 0));
        let leaked = ran.leaked;
        Self { stdout, stdout_base64, stdout_gap, stderr, stderr_base64, stderr_gap, leaked }
    }
}

impl<'a> AttemptRecord<'a> {
    pub(super) fn new(attempt: &'a Attempt) -> Self {
        let failure = match &attempt.end {
            AttemptEnd::Error(failure) => Some(failure),
            _ => None,
        };
        let death = death(&attempt.end);
        // That has the peak of all its life.
        let evidence = evidence(&attempt.end);
        let (last_output, last_output_base64) =
            death.map_or((None, None), |death| text_or_base64(from_character(&death.last_output)));
        Self {
            attempt: attempt.number,
            who: Who::new(attempt.worker, Some(attempt.pid)),
            began_ms: attempt.began.as_micros() as f64 / 1e3,
            ms: milliseconds(attempt.took),
            why: why(&attempt.end),
            uncharged: match &attempt.end {
                AttemptEnd::Returned(_) | AttemptEnd::Lost => true,
                AttemptEnd::Ran(ran) => matches!(ran.cause, Cause::AskedToStop(_)),
                _ => false,
            },
            message: failure.map(|failure| failure.message.as_str()),
            place: failure.and_then(|failure| failure.place.as_deref()),
            peak_bytes: attempt.peak_bytes.filter(|_| evidence.is_none()),
            measured: evidence.map(Measured::new),
            last_output: last_output.filter(|text| !text.is_empty()),
            last_output_base64,
            hang: attempt.hang.as_deref().map(HangRecord::new),
            written: match &attempt.end {
                AttemptEnd::Ran(ran) => Some(Written::new(ran)),
                _ => None,
            },
        }
    }
}

fn death(end: &AttemptEnd) -> Option<&Death> {
    match end {
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => {
            Some(death)
        }
        AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Ran(_) | AttemptEnd::Lost => None,
    }
}

pub(super) fn why(end: &AttemptEnd) -> Option<Why> {
    match end {
        AttemptEnd::Ok => None,
        AttemptEnd::Ran(ran) if ran.is_ok() => None,
        AttemptEnd::Ran(ran) => Some(Why::new(ran.cause)),
        AttemptEnd::Error(_) | AttemptEnd::Timeout(_) | AttemptEnd::Lost => {
            Some(Why::named(attempt_cause(end)))
        }
        AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => Some(Why::new(death.cause)),
    }
}

/// The last of an output may begin in the midst of a character.
fn from_character(bytes: &[u8]) -> &[u8] {
    let is_rest = |byte: &&u8| **byte & 0xc0 == 0x80;
    &bytes[bytes.iter().take(3).take_while(is_rest).count()..]
}

fn milliseconds(duration: Duration) -> f64 {
    // Exact up to a hundred days.
    duration.as_nanos() as f64 / 1e6
}
