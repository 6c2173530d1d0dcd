//! What does the stream of events look like, as JSON lines? One record for all that happens, one for
//! each job's end, and at the end one with the counters. For `--events` and for those who look
//! on. Fields may come; none changes its meaning or goes while [`SCHEMA`] stays what it is.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use super::{
    outcome::{decimal, number},
    record::{How, Who, Why, is_false, next, push, text_or_base64},
};
use crate::{
    model::{RunInfo, SCHEMA},
    words::{attempt_cause, failure, outcome_name, shutdown, stop},
};
use pool::{
    event::{Again, Event, Tally},
    job::{Attempt, JobEnd, Outcome},
};

/// Of a job's input, so many bytes are told, and of the words for why it failed.
const INPUT_BYTES_MAX: usize = 256;
const WHY_BYTES_MAX: usize = 1 << 10;

#[derive(Serialize)]
struct Timed<T> {
    #[serde(rename = "type")]
    kind: &'static str,
    at_ms: f64,
    #[serde(flatten)]
    what: T,
}

#[derive(Serialize)]
#[serde(untagged)]
enum What {
    Worker(Who),
    Stopping {
        #[serde(flatten)]
        who: Who,
        why: &'static str,
        #[serde(skip_serializing_if = "is_false")]
        kill: bool,
    },
    Ended {
        #[serde(flatten)]
        how: How,
        next: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    },
    Run {
        why: String,
    },
}

#[derive(Serialize)]
struct TriedAgain {
    id: u64,
    attempt: u32,
    #[serde(flatten)]
    who: Who,
    cause: &'static str,
    why: String,
    /// `alone` in a fresh worker, `next` because it was not to blame, or `later`.
    again: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    after_ms: Option<u64>,
}

#[derive(Serialize)]
struct Job<'a> {
    id: u64,
    position: u64,
    status: &'static str,
    #[serde(flatten)]
    cause: Option<Why>,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    attempts: u32,
    #[serde(flatten)]
    last: Option<LastAttempt>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<String>,
}

#[derive(Serialize)]
struct LastAttempt {
    #[serde(flatten)]
    who: Who,
    ms: f64,
}

#[derive(Serialize)]
struct Counters {
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<&'static str>,
    accepted: u64,
    ok: u64,
    failed: u64,
    crashed: u64,
    not_run: u64,
    queued: u64,
    in_flight: u64,
    tried_again: u64,
}

impl Counters {
    fn new(jobs: Tally, skipped: Option<u64>, status: Option<&'static str>) -> Self {
        Self {
            skipped,
            status,
            accepted: jobs.accepted,
            ok: jobs.ok,
            failed: jobs.failed,
            crashed: jobs.crashed,
            not_run: jobs.not_run,
            queued: jobs.queued,
            in_flight: jobs.in_flight,
            tried_again: jobs.tried_again,
        }
    }
}

/// The first record: what the run is.
pub fn begin(about: &RunInfo, out: &mut Vec<u8>) {
    #[derive(Serialize)]
    struct Begin<'a> {
        r#type: &'static str,
        schema: u32,
        #[serde(flatten)]
        about: &'a RunInfo,
    }
    push(out, &Begin { r#type: "begin", schema: SCHEMA, about });
}

/// Something happened; nothing is told of how the jobs stand, which their ends tell.
pub fn event(now: Duration, event: &Event, out: &mut Vec<u8>) {
    let who = |worker, pid| What::Worker(Who::new(worker, pid));
    let (kind, what) = match event {
        Event::Started { worker, pid } => ("started", who(*worker, Some(*pid))),
        Event::Ready { worker } => ("ready", who(*worker, None)),
        Event::Undead { worker } => ("undead", who(*worker, None)),
        Event::RollCalledOff { worker } => ("roll_called_off", who(*worker, None)),
        Event::StillSilent { worker } => ("silent", who(*worker, None)),
        Event::Stopping { worker, why, kill } => {
            let (who, why) = (Who::new(*worker, None), stop(*why));
            ("stopping", What::Stopping { who, why, kill: *kill })
        }
        Event::Ended(ended) => {
            let (next, after) = next(ended.next);
            let after_ms = after.map(whole_milliseconds);
            ("ended", What::Ended { how: How::new(ended), next, after_ms })
        }
        Event::ShuttingDown { reason } => ("shutting_down", What::Run { why: shutdown(*reason) }),
        Event::TriedAgain { id, attempt, again } => {
            return push_timed(now, "tried_again", tried_again(*id, attempt, *again), out);
        }
        Event::Jobs(_) => return,
    };
    push_timed(now, kind, what, out);
}

/// A job has ended. By hand where it was done at the first attempt: there may be millions a second.
pub fn job(now: Duration, outcome: &Outcome, out: &mut Vec<u8>) {
    match (&outcome.end, &outcome.last) {
        (JobEnd::Ok(_), Some(last)) if outcome.earlier.is_empty() && is_plain(last) => {
            done(now, outcome, last, out);
        }
        _ => push_timed(now, "job", Job::new(outcome), out),
    }
}

fn is_plain(attempt: &Attempt) -> bool {
    attempt_cause(&attempt.end) == "ok"
}

fn done(now: Duration, outcome: &Outcome, last: &Attempt, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"job\",\"at_ms\":");
    decimal(now.as_secs(), now.subsec_micros() * 1000, out);
    out.extend_from_slice(b",\"id\":");
    number(outcome.id, out);
    out.extend_from_slice(b",\"position\":");
    number(outcome.position, out);
    out.extend_from_slice(b",\"status\":\"ok\",\"attempts\":");
    number(last.number, out);
    out.extend_from_slice(b",\"worker\":");
    number(last.worker.slot, out);
    out.extend_from_slice(b",\"life\":");
    number(last.worker.life, out);
    out.extend_from_slice(b",\"pid\":");
    number(last.pid, out);
    out.extend_from_slice(b",\"ms\":");
    decimal(last.took.as_secs(), last.took.subsec_nanos(), out);
    out.extend_from_slice(b"}\n");
}

/// So many records were left out; these are the counters now.
pub fn skipped(now: Duration, records: u64, jobs: Tally, out: &mut Vec<u8>) {
    push_timed(now, "skipped", Counters::new(jobs, Some(records), None), out);
}

/// The last record: the run is over.
pub fn end(now: Duration, status: &'static str, jobs: Tally, out: &mut Vec<u8>) {
    push_timed(now, "end", Counters::new(jobs, None, Some(status)), out);
}

/// Milliseconds since 1970, for [`RunInfo`].
#[must_use]
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    whole_milliseconds(since.unwrap_or_default())
}

impl<'a> Job<'a> {
    fn new(outcome: &'a Outcome) -> Self {
        let last = outcome.last.as_ref();
        let failed = last.filter(|last| !is_plain(last));
        // What was never tried has no cause but its status.
        let is_told = !outcome.is_ok() && outcome.end != JobEnd::NotRun;
        let payload = outcome.payload.as_bytes();
        let shown = beginning(payload, INPUT_BYTES_MAX);
        let (input, input_base64) = match is_told && !payload.is_empty() {
            true => text_or_base64(shown),
            false => (None, None),
        };
        Self {
            id: outcome.id,
            position: outcome.position,
            status: outcome_name(&outcome.end),
            cause: failed.and_then(|last| super::attempt::why(&last.end)),
            why: failed.map(why),
            attempts: last.map_or(0, |last| last.number),
            last: last.map(|last| LastAttempt {
                who: Who::new(last.worker, Some(last.pid)),
                ms: last.took.as_secs_f64() * 1e3,
            }),
            input,
            input_base64,
        }
    }
}

/// As much as is told, without half a character at its end.
fn beginning(bytes: &[u8], length: usize) -> &[u8] {
    let Some(rest) = bytes.get(length) else { return bytes };
    let is_within = |byte: &u8| byte & 0xc0 == 0x80;
    let shown = &bytes[..length];
    let within = shown.iter().rev().take(3).take_while(|byte| is_within(byte)).count();
    if is_within(rest) { &shown[..length - within - 1] } else { shown }
}

/// Why an attempt came to nothing. A worker may say a lot.
fn why(attempt: &Attempt) -> String {
    let mut words = failure(attempt);
    if words.len() > WHY_BYTES_MAX {
        words.truncate(beginning(words.as_bytes(), WHY_BYTES_MAX).len());
        words.push('…');
    }
    words
}

fn tried_again(id: u64, attempt: &Attempt, again: Again) -> TriedAgain {
    let (again, after) = match again {
        Again::After(delay) => ("later", Some(delay)),
        Again::Alone => ("alone", None),
        Again::Next => ("next", None),
    };
    TriedAgain {
        id,
        attempt: attempt.number,
        who: Who::new(attempt.worker, Some(attempt.pid)),
        cause: attempt_cause(&attempt.end),
        why: why(attempt),
        again,
        after_ms: after.map(whole_milliseconds),
    }
}

fn push_timed(now: Duration, kind: &'static str, what: impl Serialize, out: &mut Vec<u8>) {
    #[expect(clippy::cast_precision_loss, reason = "exact for centuries")]
    let at_ms = now.as_micros() as f64 / 1e3;
    push(out, &Timed { kind, at_ms, what });
}

fn whole_milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use pool::{
        event::{ShutdownReason, WorkerId},
        exit::StopReason,
        job::{AttemptEnd, Failure, FailureKind, Payload},
    };

    const NOW: Duration = Duration::from_micros(12_300);
    const WORKER: WorkerId = WorkerId { slot: 2, life: 7 };

    fn read(write: impl FnOnce(&mut Vec<u8>)) -> Value {
        let mut out = Vec::new();
        write(&mut out);
        assert_eq!(out.iter().filter(|byte| **byte == b'\n').count(), 1);
        serde_json::from_slice(&out).unwrap()
    }

    fn outcome(end: JobEnd, last: AttemptEnd, input: &[u8]) -> Outcome {
        let (took, began) = (Duration::from_nanos(1_500_000), Duration::ZERO);
        let (number, worker, peak_bytes) = (1, WORKER, None);
        let last =
            Attempt { number, worker, pid: 4123, began, took, peak_bytes, hang: None, end: last };
        let (payload, earlier) = (Payload::copy(input), Vec::new());
        let (last, again) = (Some(last), false);
        Outcome { id: 7, place: 7, position: 9, payload, end, last, earlier, again }
    }

    #[test]
    fn a_job_that_was_done_is_told_by_hand_as_any_other() {
        let outcome = outcome(JobEnd::Ok(Payload::copy(b"reply")), AttemptEnd::Ok, b"input");
        let told = json!({
            "type": "job", "at_ms": 12.3, "id": 7, "position": 9, "status": "ok", "attempts": 1,
            "worker": 2, "life": 7, "pid": 4123, "ms": 1.5,
        });
        assert_eq!(read(|out| job(NOW, &outcome, out)), told);
        assert_eq!(read(|out| push_timed(NOW, "job", Job::new(&outcome), out)), told);
    }

    #[test]
    fn a_job_that_failed_says_why_and_what_it_was() {
        let (kind, message, place) = (FailureKind::Panic, "<script>".into(), None);
        let end = AttemptEnd::Error(Box::new(Failure { kind, message, place }));
        let failed = outcome(JobEnd::Failed, end, "é".repeat(500).as_bytes());
        let told = read(|out| job(NOW, &failed, out));
        assert_eq!((&told["status"], &told["cause"]), (&json!("failed"), &json!("panic")));
        assert_eq!(told["why"], "panicked: <script>");
        assert_eq!(told["input"], "é".repeat(128));
        let odd =
            outcome(JobEnd::Failed, AttemptEnd::Ok, &["x", &"é".repeat(500)].concat().into_bytes());
        assert_eq!(read(|out| job(NOW, &odd, out))["input"].as_str().unwrap().len(), 255);
        let binary = outcome(JobEnd::Failed, AttemptEnd::Ok, b"\xff");
        assert_eq!(read(|out| job(NOW, &binary, out))["input_base64"], "/w==");
    }

    #[test]
    fn of_a_long_message_the_beginning_is_told() {
        let (kind, message, place) = (FailureKind::Error, "xé".repeat(1000), None);
        let end = AttemptEnd::Error(Box::new(Failure { kind, message, place }));
        let told = read(|out| job(NOW, &outcome(JobEnd::Failed, end, b""), out));
        assert_eq!(told["why"], format!("{}x…", "xé".repeat(341)));
    }

    #[test]
    fn what_happens_is_told_with_its_time() {
        for (happened, told) in [
            (
                Event::Started { worker: WORKER, pid: 5 },
                json!({"type": "started", "at_ms": 12.3, "worker": 2, "life": 7, "pid": 5}),
            ),
            (
                Event::Stopping { worker: WORKER, why: StopReason::Recycle, kill: true },
                json!({"type": "stopping", "at_ms": 12.3, "worker": 2, "life": 7, "pid": null,
                       "why": "recycled", "kill": true}),
            ),
            (
                Event::ShuttingDown { reason: ShutdownReason::Deadline },
                json!({"type": "shutting_down", "at_ms": 12.3,
                       "why": "the time for the whole run is over"}),
            ),
        ] {
            assert_eq!(read(|out| event(NOW, &happened, out)), told);
        }
        let jobs = Tally { accepted: 3, ok: 1, failed: 1, in_flight: 1, ..Tally::default() };
        let told = read(|out| skipped(NOW, 500, jobs, out));
        assert_eq!((&told["type"], &told["skipped"]), (&json!("skipped"), &json!(500)));
        assert_eq!((&told["accepted"], &told["in_flight"]), (&json!(3), &json!(1)));
    }
}
