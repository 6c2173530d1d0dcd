//! Jobs in a stream of events: how they ended, with their last attempt only.

use std::{borrow::Cow, time::Duration};

use pool::job::{self, AttemptEnd, JobEnd};
use serde::Serialize;

use super::{Event, Record};
use crate::{
    Cause, Millis, WorkerRef,
    json::{number, push_line, text_or_base64},
    names,
    outcome::write_attempt,
    words,
};

/// Bytes of a job's input that events and snapshots show.
pub const INPUT_BYTES_MAX: usize = 256;
/// Bytes of `why` that an event shows, since a worker's message may be long.
const WHY_BYTES_MAX: usize = 1 << 10;

/// The last attempt of a job, as events show it.
#[derive(Serialize, Debug)]
pub struct LastAttempt {
    attempt: u32,
    #[serde(flatten)]
    worker: WorkerRef,
    began_ms: Millis,
    duration_ms: Millis,
}

impl From<&job::Attempt> for LastAttempt {
    fn from(attempt: &job::Attempt) -> Self {
        Self {
            attempt: attempt.number,
            worker: WorkerRef::new(attempt.worker, Some(attempt.pid)),
            began_ms: attempt.began.into(),
            duration_ms: attempt.took.into(),
        }
    }
}

/// A job that has ended, in a stream of events: [`Outcome`](crate::Outcome) without its reply, and
/// with the last attempt only.
#[derive(Serialize, Debug)]
pub struct Job<'a> {
    id: u64,
    position: u64,
    status: &'static str,
    #[serde(flatten)]
    last: Option<LastAttempt>,
    #[serde(flatten)]
    cause: Option<Cause>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<String>,
}

impl<'a> Job<'a> {
    fn new(outcome: &'a job::Outcome) -> Self {
        let last = outcome.last.as_ref();
        let failed = last.filter(|last| !is_ok(last));
        // A job that was never tried has no cause but its status.
        let has_input = !outcome.is_ok() && outcome.end != JobEnd::NotRun;
        let payload = outcome.payload.as_bytes();
        let (input, input_base64) = match has_input && !payload.is_empty() {
            true => text_or_base64(truncated(payload, INPUT_BYTES_MAX)),
            false => (None, None),
        };
        Self {
            id: outcome.id,
            position: outcome.position,
            status: names::status(&outcome.end),
            last: last.map(LastAttempt::from),
            cause: failed.and_then(|last| Cause::of_attempt(&last.end)),
            why: failed.map(why),
            input,
            input_base64,
        }
    }
}

fn is_ok(attempt: &job::Attempt) -> bool {
    match &attempt.end {
        AttemptEnd::Ok => true,
        AttemptEnd::Ran(ran) => ran.is_ok(),
        _ => false,
    }
}

/// Returns at most `length` bytes, without a partial character at the end.
fn truncated(bytes: &[u8], length: usize) -> &[u8] {
    let Some(rest) = bytes.get(length) else { return bytes };
    let is_within = |byte: &u8| byte & 0xc0 == 0x80;
    let cut = &bytes[..length];
    let within = cut.iter().rev().take(3).take_while(|byte| is_within(byte)).count();
    if is_within(rest) { &cut[..length - within - 1] } else { cut }
}

/// Returns why an attempt did not succeed, in at most [`WHY_BYTES_MAX`] bytes.
pub(super) fn why(attempt: &job::Attempt) -> String {
    let mut words = words::failure(attempt);
    if words.len() > WHY_BYTES_MAX {
        words.truncate(truncated(words.as_bytes(), WHY_BYTES_MAX).len());
        words.push('…');
    }
    words
}

/// Appends the event of a job that has ended. One that succeeded at its first attempt is written by
/// hand: there may be millions a second.
pub fn job(now: Duration, outcome: &job::Outcome, out: &mut Vec<u8>) {
    match (&outcome.end, &outcome.last) {
        (JobEnd::Ok(_), Some(last)) if outcome.earlier.is_empty() && is_ok(last) => {
            done(now, outcome, last, out);
        }
        _ => push_line(out, &Record::at(now, Event::Job(Job::new(outcome)))),
    }
}

fn done(now: Duration, outcome: &job::Outcome, last: &job::Attempt, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"job\",\"at_ms\":");
    Millis::from(now).write(out);
    out.extend_from_slice(b",\"id\":");
    number(outcome.id, out);
    out.extend_from_slice(b",\"position\":");
    number(outcome.position, out);
    out.extend_from_slice(b",\"status\":\"ok\",");
    write_attempt(last, out);
    out.extend_from_slice(b"}\n");
}
