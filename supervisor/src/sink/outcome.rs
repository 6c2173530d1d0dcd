//! What does the record of a job look like? By hand for a job that was done at the first attempt,
//! since there may be millions a second; with all that is known for any other.

use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::{
    attempt::{AttemptRecord, why},
    record::{Why, is_false, push, push_value, text_or_base64},
};
use crate::words::outcome_name;
use pool::{
    job::{Attempt, AttemptEnd, JobEnd, Outcome},
    limits::Limits,
};

/// Appends the record of a job; `limits` are those in force.
pub(super) fn write(outcome: &Outcome, limits: &Limits, out: &mut Vec<u8>) {
    match (&outcome.end, &outcome.last) {
        (JobEnd::Ok(reply), Some(attempt))
            if outcome.earlier.is_empty() && matches!(attempt.end, AttemptEnd::Ok) =>
        {
            write_done(outcome, attempt, reply.as_bytes(), out);
        }
        _ => push(out, &Record::new(outcome, limits)),
    }
}

/// What such a record takes beside the reply, with room to spare.
const AROUND_BYTES: usize = 256;

/// The hot path: no allocation but that of `out`.
fn write_done(outcome: &Outcome, attempt: &Attempt, reply: &[u8], out: &mut Vec<u8>) {
    out.reserve(AROUND_BYTES + reply.len());
    out.extend_from_slice(b"{\"type\":\"job\",\"id\":");
    number(outcome.id, out);
    out.extend_from_slice(b",\"position\":");
    number(outcome.position, out);
    if outcome.again {
        out.extend_from_slice(b",\"again\":true");
    }
    out.extend_from_slice(b",\"status\":\"ok\",\"attempts\":[{\"attempt\":");
    number(attempt.number, out);
    out.extend_from_slice(b",\"worker\":");
    number(attempt.worker.slot, out);
    out.extend_from_slice(b",\"life\":");
    number(attempt.worker.life, out);
    out.extend_from_slice(b",\"pid\":");
    number(attempt.pid, out);
    out.extend_from_slice(b",\"began_ms\":");
    decimal(attempt.began.as_secs(), attempt.began.subsec_micros() * 1000, out);
    out.extend_from_slice(b",\"ms\":");
    decimal(attempt.took.as_secs(), attempt.took.subsec_nanos(), out);
    if let Some(bytes) = attempt.peak_bytes {
        out.extend_from_slice(b",\"peak_bytes\":");
        number(bytes, out);
    }
    out.extend_from_slice(b"}]");
    string(reply, b",\"reply\":", b",\"reply_base64\":", out);
    out.extend_from_slice(b"}\n");
}

pub(super) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// A duration in milliseconds, as short as it goes, always with a point as serde has it.
pub(super) fn decimal(seconds: u64, nanos: u32, out: &mut Vec<u8>) {
    number(seconds.saturating_mul(1000).saturating_add(u64::from(nanos / 1_000_000)), out);
    // The leading one keeps the zeros, and makes way for the point.
    let mut buffer = itoa::Buffer::new();
    let digits = buffer.format(1_000_000 + nanos % 1_000_000).as_bytes();
    let zeros = digits[2..].iter().rev().take_while(|digit| **digit == b'0').count();
    out.push(b'.');
    out.extend_from_slice(&digits[1..digits.len() - zeros]);
}

/// A key and its text, or the other key and the base64 of what is no text.
fn string(bytes: &[u8], key: &[u8], key_base64: &[u8], out: &mut Vec<u8>) {
    if is_plain(bytes) {
        out.extend_from_slice(key);
        out.push(b'"');
        out.extend_from_slice(bytes);
        out.push(b'"');
    } else if let Ok(text) = str::from_utf8(bytes) {
        out.extend_from_slice(key);
        push_value(out, text);
    } else {
        out.extend_from_slice(key_base64);
        push_value(out, &BASE64_STANDARD.encode(bytes));
    }
}

/// Whether it is ASCII of which nothing needs an escape. Looks at all of it, since that takes the
/// processor many bytes at a time.
fn is_plain(bytes: &[u8]) -> bool {
    bytes.iter().fold(true, |plain, byte| {
        plain & (byte.wrapping_sub(b' ') < 0x5f) & (*byte != b'"') & (*byte != b'\\')
    })
}

#[derive(Serialize)]
struct Record<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    id: u64,
    position: u64,
    #[serde(skip_serializing_if = "is_false")]
    again: bool,
    status: &'static str,
    #[serde(flatten)]
    why: Option<Why>,
    /// How long it is, and may be, where that is why.
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_max: Option<u64>,
    attempts: Vec<AttemptRecord<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    input_base64: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<BTreeMap<&'static str, u64>>,
}

impl<'a> Record<'a> {
    fn new(outcome: &'a Outcome, limits: &Limits) -> Self {
        let named = || limits.iter().map(|(resource, value)| (resource.name(), value)).collect();
        let limits = (outcome.end == JobEnd::Crashed).then(named);
        let last = || outcome.last.as_ref().and_then(|last| why(&last.end));
        let why = match &outcome.end {
            JobEnd::Failed | JobEnd::Crashed => last(),
            JobEnd::Ok(_) | JobEnd::TooLong { .. } | JobEnd::NotRun => None,
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
        // A job that was too long to be kept cannot be told. That of a command always is: what it
        // wrote seldom says which it was.
        let is_told =
            (is_command || !outcome.is_ok()) && (bytes.is_none() || !outcome.payload.is_empty());
        let (input, input_base64) = match is_told {
            true => text_or_base64(outcome.payload.as_bytes()),
            false => (None, None),
        };
        Self {
            kind: "job",
            id: outcome.id,
            position: outcome.position,
            again: outcome.again,
            status: outcome_name(&outcome.end),
            why,
            bytes,
            bytes_max,
            attempts: outcome.attempts().map(AttemptRecord::new).collect(),
            reply,
            reply_base64,
            input,
            input_base64,
            limits: limits.filter(|limits: &BTreeMap<_, _>| !limits.is_empty()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use pool::{
        event::WorkerId,
        exit::{Cause, Certainty, Evidence, Peak, ProtocolFault, Status},
        job::{Death, Failure, FailureKind, Payload},
        signal::Signal,
    };

    fn attempt(number: u32, took: Duration, end: AttemptEnd) -> Attempt {
        let (worker, began) = (WorkerId { slot: 2, life: 7 }, Duration::from_micros(12_300));
        Attempt { number, worker, pid: 4123, began, took, peak_bytes: None, hang: None, end }
    }

    fn outcome(input: &[u8], end: JobEnd, last: Attempt, earlier: Vec<Attempt>) -> Outcome {
        let payload = Payload::copy(input);
        let (last, again) = (Some(last), false);
        Outcome { id: 7, place: 7, position: 9, payload, end, last, earlier, again }
    }

    fn text(outcome: &Outcome) -> String {
        let mut out = Vec::new();
        write(outcome, &Limits::default(), &mut out);
        String::from_utf8(out).unwrap()
    }

    fn read(outcome: &Outcome) -> Value {
        serde_json::from_str(&text(outcome)).unwrap()
    }

    #[test]
    fn a_job_that_was_done_is_a_short_record() {
        let last = attempt(1, Duration::from_micros(13), AttemptEnd::Ok);
        let done = outcome(b"in", JobEnd::Ok(Payload::copy(b"a \"b\"")), last, Vec::new());
        let record = r#"{"type":"job","id":7,"position":9,"status":"ok","attempts":[{"attempt":1,"worker":2,"life":7,"pid":4123,"began_ms":12.3,"ms":0.013}],"reply":"a \"b\""}"#;
        assert_eq!(text(&done), format!("{record}\n"));
    }

    #[test]
    fn a_job_that_was_not_done_says_all_that_is_known() {
        let evidence = Evidence {
            status: Status::Signal { signal: Signal::SEGV, core: true },
            wall: Duration::from_millis(5),
            cpu: Duration::from_millis(3),
            own_cpu: Duration::ZERO,
            peak: Peak { bytes: 99, exact: true },
            says_out_of_memory: false,
            kernel_oom: false,
            left: Vec::new(),
        };
        let death = |cause, last_output: &[u8]| {
            let (evidence, last_output) = (Some(evidence.clone()), last_output.to_vec());
            Box::new(Death { cause, evidence, last_output })
        };
        let (kind, message) = (FailureKind::Panic, "oh \u{1b}".into());
        let failure = Failure { kind, message, place: Some("a.rs:1".into()) };
        let took = Duration::from_nanos(290);
        let mut earlier = vec![
            attempt(1, took, AttemptEnd::Error(Box::new(failure))),
            attempt(2, took, AttemptEnd::Returned(death(Cause::Exit, b"\xa9 cut"))),
        ];
        earlier[1].peak_bytes = Some(98);
        let fault = Cause::Protocol(ProtocolFault::Garbage);
        let last = attempt(3, took, AttemptEnd::Crashed(death(fault, b"\xff")));
        let read = read(&outcome(b"\xfe", JobEnd::Crashed, last, earlier));
        let fault = "a frame that is no message";
        assert_eq!((&read["status"], &read["cause"]), (&json!("crashed"), &json!("protocol")));
        assert_eq!((&read["fault"], &read["input_base64"]), (&json!(fault), &json!("/g==")));
        assert_eq!(read.get("reply").or(read.get("input")), None);
        let how = json!({
            "worker": 2, "life": 7, "pid": 4123, "began_ms": 12.3, "ms": 0.00029, "code": 139,
            "signal": "SIGSEGV", "core": true, "wall_ms": 5.0, "cpu_ms": 3.0, "peak_bytes": 99,
            "peak_exact": true,
        });
        let with = |more: Value| {
            let mut all = how.as_object().unwrap().clone();
            all.extend(more.as_object().unwrap().clone());
            Value::Object(all)
        };
        let returned =
            json!({ "attempt": 2, "cause": "exit", "uncharged": true, "last_output": " cut" });
        let crashed = json!({
            "attempt": 3, "cause": "protocol", "fault": fault, "last_output_base64": "/w==",
        });
        assert_eq!(read["attempts"][1], with(returned));
        assert_eq!(read["attempts"][2], with(crashed));
        let panicked = &read["attempts"][0];
        assert_eq!(panicked["cause"], "panic");
        assert_eq!(
            (&panicked["message"], &panicked["place"]),
            (&json!("oh \u{1b}"), &json!("a.rs:1"))
        );
        assert_eq!(panicked.get("code"), None);
    }

    #[test]
    fn what_was_not_tried_says_why() {
        let untried = |payload: &[u8], end| Outcome {
            last: None,
            ..outcome(payload, end, attempt(1, Duration::ZERO, AttemptEnd::Ok), Vec::new())
        };
        let long = read(&untried(b"", JobEnd::TooLong { bytes: 9, cap: 8 }));
        assert_eq!((&long["status"], &long["bytes"]), (&json!("too_long"), &json!(9)));
        assert_eq!((&long["bytes_max"], long.get("input")), (&json!(8), None));
        let left = read(&untried(b"", JobEnd::NotRun));
        assert_eq!((&left["status"], &left["input"]), (&json!("not_run"), &json!("")));
        let memory = Cause::Memory(Certainty::Likely);
        let death = Box::new(Death { cause: memory, evidence: None, last_output: Vec::new() });
        let last = attempt(1, Duration::ZERO, AttemptEnd::Crashed(death));
        let parked = read(&outcome(b"x", JobEnd::Crashed, last, Vec::new()));
        assert_eq!((&parked["cause"], &parked["certainty"]), (&json!("memory"), &json!("likely")));
    }

    proptest! {
        #[test]
        fn by_hand_or_by_serde_the_record_is_the_same(
            (id, position, number, pid) in any::<(u64, u64, u32, i32)>(),
            peak_bytes in any::<Option<u64>>(),
            (slot, life) in any::<(u32, u32)>(),
            (began, took, unit) in (0u64..1 << 50, 0u64..1 << 50, 0u32..15),
            reply in prop_oneof![
                prop::collection::vec(any::<u8>(), 0..40),
                "\\PC{0,40}".prop_map(String::into_bytes),
                ".{0,40}".prop_map(String::into_bytes),
                "[ -~]{0,80}".prop_map(String::into_bytes),
            ],
        ) {
            let unit = 10u64.pow(unit);
            let (began, took) = (began / unit * unit, took / unit * unit);
            let (began, took) = (Duration::from_nanos(began), Duration::from_nanos(took));
            let worker = WorkerId { slot, life };
            let last = Attempt { number, worker, pid, began, took, peak_bytes, hang: None, end: AttemptEnd::Ok };
            let end = JobEnd::Ok(Payload::copy(&reply));
            let done = Outcome { id, position, ..outcome(b"", end, last, Vec::new()) };
            let mut serde = Vec::new();
            push(&mut serde, &Record::new(&done, &Limits::default()));
            let text = text(&done);
            prop_assert!(!text.trim_end_matches('\n').chars().any(text::escape::is_obeyed));
            let by_serde: Value = serde_json::from_slice(&serde).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), by_serde);
        }
    }
}
