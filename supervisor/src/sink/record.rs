//! What do records look like? What the workers put out, what becomes of them, and how each slot
//! ended up; and the parts that they share with those of jobs.

use std::{
    io::{self, Write},
    time::Duration,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::{Origin, Stream, lines::Line};
use crate::words;
use pool::{
    event::{Ended, Next, WorkerId},
    exit::{Cause, Certainty, Evidence, Sender, Status},
    job::AttemptEnd,
};
use text::escape::is_obeyed;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(super) enum Record<'a> {
    /// A line of a worker's output.
    Output {
        #[serde(flatten)]
        who: Who,
        #[serde(skip_serializing_if = "Option::is_none")]
        job: Option<u64>,
        stream: Stream,
        #[serde(skip_serializing_if = "Option::is_none")]
        line: Option<&'a str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        line_base64: Option<String>,
        /// Goes on the line of the record before it.
        #[serde(skip_serializing_if = "is_false")]
        continues: bool,
        /// Did not end with a newline.
        #[serde(skip_serializing_if = "is_false")]
        partial: bool,
    },
    Started {
        time: String,
        #[serde(flatten)]
        who: Who,
    },
    Undead {
        time: String,
        #[serde(flatten)]
        who: Who,
    },
    Ended {
        time: String,
        #[serde(flatten)]
        how: How,
        next: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<u64>,
    },
    Task {
        task: u32,
        restarts: u32,
        #[serde(flatten)]
        how: How,
    },
}

#[derive(Serialize)]
pub(super) struct Who {
    worker: u32,
    life: u32,
    pid: Option<i32>,
}

/// How a worker ended.
#[derive(Serialize)]
pub(super) struct How {
    #[serde(flatten)]
    who: Who,
    #[serde(flatten)]
    why: Why,
    #[serde(flatten)]
    measured: Option<Measured>,
}

/// Why a process ended, or an attempt came to nothing.
#[derive(Serialize, Default)]
pub(super) struct Why {
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    killed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
}

#[derive(Serialize)]
pub(super) struct Measured {
    code: i32,
    signal: Option<String>,
    core: bool,
    wall_ms: f64,
    cpu_ms: f64,
    peak_bytes: u64,
    /// False: it used no more than that.
    peak_exact: bool,
    /// The names of processes that were still there when it had ended.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    left: Vec<String>,
}

impl<'a> Record<'a> {
    pub(super) fn output(origin: Origin, line: Line<'a>) -> Self {
        let (text, base64) = text_or_base64(line.text);
        Self::Output {
            who: Who::new(origin.worker, Some(origin.pid)),
            job: origin.job,
            stream: origin.stream,
            line: text,
            line_base64: base64,
            continues: line.continues,
            partial: !line.ended,
        }
    }

    pub(super) fn ended(time: String, ended: &Ended) -> Self {
        let (next, after) = next(ended.next);
        let after_ms = after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
        Self::Ended { time, how: How::new(ended), next, after_ms }
    }

    pub(super) fn task(ended: &Ended) -> Self {
        let WorkerId { slot: task, life } = ended.worker;
        Self::Task { task, restarts: life - 1, how: How::new(ended) }
    }
}

/// Appends a record as a line.
pub(super) fn push(out: &mut Vec<u8>, record: &impl Serialize) {
    let start = out.len();
    push_value(out, record);
    if out.len() > start {
        out.push(b'\n');
    }
}

pub(super) fn push_value(out: &mut Vec<u8>, value: &(impl Serialize + ?Sized)) {
    let start = out.len();
    if value.serialize(&mut Serializer::with_formatter(&mut *out, Visible)).is_err() {
        // What cannot be written must not leave half of itself in the stream.
        out.truncate(start);
    }
}

/// Compact, with the characters escaped that JSON lets pass and a terminal obeys.
struct Visible;

impl Formatter for Visible {
    fn write_string_fragment<W>(&mut self, out: &mut W, mut fragment: &str) -> io::Result<()>
    where
        W: ?Sized + Write,
    {
        while let Some((at, c)) = fragment.char_indices().find(|(_, c)| is_obeyed(*c)) {
            out.write_all(&fragment.as_bytes()[..at])?;
            // All of them are in the basic plane: one escape each.
            write!(out, "\\u{:04x}", u32::from(c))?;
            fragment = &fragment[at + c.len_utf8()..];
        }
        out.write_all(fragment.as_bytes())
    }
}

impl Who {
    pub(super) fn new(worker: WorkerId, pid: Option<i32>) -> Self {
        Self { worker: worker.slot, life: worker.life, pid }
    }
}

impl How {
    pub(super) fn new(ended: &Ended) -> Self {
        let who = Who::new(ended.worker, ended.pid);
        let measured = ended.evidence.as_ref().map(Measured::new);
        Self { who, why: Why::new(ended.cause), measured }
    }
}

impl Measured {
    pub(super) fn new(evidence: &Evidence) -> Self {
        let signal = match evidence.status {
            Status::Signal { signal, .. } => Some(signal.to_string()),
            Status::Code(_) => None,
        };
        Self {
            code: evidence.status.shell_code(),
            signal,
            core: matches!(evidence.status, Status::Signal { core: true, .. }),
            wall_ms: milliseconds(evidence.wall),
            cpu_ms: milliseconds(evidence.cpu),
            peak_bytes: evidence.peak.bytes,
            peak_exact: evidence.peak.exact,
            left: evidence.left.clone(),
        }
    }
}

impl Why {
    pub(super) fn new(cause: Cause) -> Self {
        let mut why = Self::named(words::cause_name(cause));
        match cause {
            Cause::Memory(Certainty::Sure) => why.certainty = Some("sure"),
            Cause::Memory(Certainty::Likely) => why.certainty = Some("likely"),
            Cause::Signal(Sender::Itself) => why.sender = Some("itself"),
            Cause::Signal(Sender::Outside) => why.sender = Some("outside"),
            Cause::AskedToStop(asked) => why.killed = Some(asked.killed),
            Cause::CouldNotStart(fault) => why.fault = Some(fault.to_string()),
            Cause::Protocol(fault) => why.fault = Some(fault.to_string()),
            Cause::Exit | Cause::CpuLimit | Cause::Timeout | Cause::Unobserved => {}
        }
        why
    }

    pub(super) fn named(cause: &'static str) -> Self {
        Self { cause, ..Self::default() }
    }
}

/// How the process of an attempt ended, where one did.
pub(super) fn evidence(end: &AttemptEnd) -> Option<&Evidence> {
    match end {
        AttemptEnd::Ran(ran) => ran.evidence.as_ref(),
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => {
            death.evidence.as_ref()
        }
        AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Lost => None,
    }
}

pub(super) fn next(next: Next) -> (&'static str, Option<Duration>) {
    match next {
        Next::Again(delay) => ("again", Some(delay)),
        Next::Replaced => ("replaced", None),
        Next::NotNeeded => ("not needed", None),
        Next::Done => ("done", None),
        Next::GaveUp => ("gave up", None),
    }
}

/// JSON has no bytes: what is no text is told in base64.
pub(super) fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    let text = str::from_utf8(bytes).ok();
    (text, text.is_none().then(|| BASE64_STANDARD.encode(bytes)))
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde wants")]
pub(super) fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_nothing_a_terminal_obeys_and_reads_back() {
        let line = "a\u{9b}31m\u{7f}\u{202e}\u{1b}\"é\n";
        let (worker, stream, job) = (WorkerId { slot: 1, life: 1 }, Stream::Stdout, Some(17));
        let origin = Origin { worker, pid: 7, stream, job };
        let mut out = Vec::new();
        let text = Line { text: line.as_bytes(), continues: false, ended: true };
        push(&mut out, &Record::output(origin, text));
        let text = String::from_utf8(out).unwrap();
        assert!(!text.trim_end_matches('\n').chars().any(is_obeyed), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&read["line"], &read["job"]), (&line.into(), &17.into()));
    }
}
