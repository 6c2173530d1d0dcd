//! The record of a job: how it ended, with all its attempts.
//!
//! A job that succeeded at its first attempt is written by hand, since there may be millions a
//! second; a property test compares that with what serde writes.

use std::{borrow::Cow, collections::BTreeMap};

use pool::{
    job::{self, AttemptEnd, JobEnd},
    limits::Limits,
};
use serde::Serialize;

use crate::{
    Attempt, Cause, Millis,
    json::{is_false, number, push_line, string, text_or_base64},
    names,
};

/// A job that has ended.
#[derive(Clone, Serialize, Debug)]
pub struct Outcome<'a> {
    /// Always `job`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Number of the job; a journal keeps it from run to run.
    pub id: u64,
    /// Number of the line or argument that the job came from, from 1.
    pub position: u64,
    /// An earlier run may have written the record already.
    #[serde(skip_serializing_if = "is_false")]
    pub redelivered: bool,
    /// `ok`, `failed`, `quarantined`, `too_long`, `interrupted` or `not_run`.
    pub status: &'static str,
    /// Why the last attempt did not succeed.
    #[serde(flatten)]
    pub cause: Option<Cause>,
    /// Length of a job that is too long, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// The longest job allowed, in bytes; only for a job that is too long.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes_max: Option<u64>,
    /// All attempts, in order.
    pub attempts: Vec<Attempt<'a>>,
    /// Reply of the worker.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Cow<'a, str>>,
    /// `reply` in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply_base64: Option<String>,
    /// The input of the job: for commands, and for jobs that did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Cow<'a, str>>,
    /// `input` in base64, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input_base64: Option<String>,
    /// Limits in force, by name; only for a quarantined job.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limits: Option<BTreeMap<&'static str, u64>>,
}

/// Appends the record of a job as a line; `limits` are those in force.
pub fn write(outcome: &job::Outcome, limits: &Limits, out: &mut Vec<u8>) {
    match (&outcome.end, &outcome.last) {
        (JobEnd::Ok(reply), Some(attempt))
            if outcome.earlier.is_empty() && matches!(attempt.end, AttemptEnd::Ok) =>
        {
            write_done(outcome, attempt, reply.as_bytes(), out);
        }
        _ => push_line(out, &Outcome::new(outcome, limits)),
    }
}

/// Length of such a record without its reply, with room to spare.
const AROUND_BYTES: usize = 256;

/// The hot path: it allocates nothing but `out`.
fn write_done(outcome: &job::Outcome, attempt: &job::Attempt, reply: &[u8], out: &mut Vec<u8>) {
    out.reserve(AROUND_BYTES + reply.len());
    out.extend_from_slice(b"{\"type\":\"job\",\"id\":");
    number(outcome.id, out);
    out.extend_from_slice(b",\"position\":");
    number(outcome.position, out);
    if outcome.again {
        out.extend_from_slice(b",\"redelivered\":true");
    }
    out.extend_from_slice(b",\"status\":\"ok\",\"attempts\":[{");
    write_attempt(attempt, out);
    if let Some(bytes) = attempt.peak_bytes {
        out.extend_from_slice(b",\"peak_bytes\":");
        number(bytes, out);
    }
    out.extend_from_slice(b"}]");
    string(reply, b",\"reply\":", b",\"reply_base64\":", out);
    out.extend_from_slice(b"}\n");
}

/// The fields that every attempt has.
pub(crate) fn write_attempt(attempt: &job::Attempt, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"attempt\":");
    number(attempt.number, out);
    out.extend_from_slice(b",\"worker\":");
    number(attempt.worker.slot, out);
    out.extend_from_slice(b",\"generation\":");
    number(attempt.worker.generation, out);
    out.extend_from_slice(b",\"pid\":");
    number(attempt.pid, out);
    out.extend_from_slice(b",\"began_ms\":");
    Millis::from(attempt.began).write(out);
    out.extend_from_slice(b",\"duration_ms\":");
    Millis::from(attempt.took).write(out);
}

impl<'a> Outcome<'a> {
    /// The record of a job; `limits` are those in force.
    #[must_use]
    pub fn new(outcome: &'a job::Outcome, limits: &Limits) -> Self {
        let cause = match &outcome.end {
            JobEnd::Failed | JobEnd::Crashed => outcome.last.as_ref(),
            JobEnd::Ok(_) | JobEnd::TooLong { .. } | JobEnd::Interrupted | JobEnd::NotRun => None,
        };
        let is_command = outcome.attempts().any(|a| matches!(a.end, AttemptEnd::Ran(_)));
        let (bytes, bytes_max) = match &outcome.end {
            JobEnd::TooLong { bytes, cap } => (Some(*bytes), Some(*cap)),
            _ => (None, None),
        };
        let (reply, reply_base64) = match &outcome.end {
            JobEnd::Ok(reply) if !is_command => text_or_base64(reply.as_bytes()),
            _ => (None, None),
        };
        // A job that was too long to be kept cannot be shown. That of a command always is: its
        // output seldom says which it was.
        let has_input =
            (is_command || !outcome.is_ok()) && (bytes.is_none() || !outcome.payload.is_empty());
        let (input, input_base64) = match has_input {
            true => text_or_base64(outcome.payload.as_bytes()),
            false => (None, None),
        };
        let named: BTreeMap<_, _> =
            limits.iter().map(|(resource, value)| (resource.name(), value)).collect();
        let has_limits = outcome.end == JobEnd::Crashed && !named.is_empty();
        Self {
            kind: "job",
            id: outcome.id,
            position: outcome.position,
            redelivered: outcome.again,
            status: names::status(&outcome.end),
            cause: cause.and_then(|last| Cause::of_attempt(&last.end)),
            bytes,
            bytes_max,
            attempts: outcome.attempts().map(Attempt::new).collect(),
            reply,
            reply_base64,
            input,
            input_base64,
            limits: has_limits.then_some(named),
        }
    }
}
