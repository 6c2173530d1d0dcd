//! One JSON record a line, on stdout: what the workers put out, what becomes of them, and at
//! the end how each slot ended up.

use std::time::{Duration, SystemTime};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;

use super::{Held, Origin, Sink, Stream, lines::Line};
use crate::{
    event::{Ended, Event, Next, WorkerId},
    exit::{Asked, Cause, Certainty, Sender, Status, StopReason},
    observe::board::Row,
};

/// Records.
#[derive(Debug)]
pub(super) struct Jsonl;

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Record<'a> {
    /// A line of a worker's output.
    Output {
        #[serde(flatten)]
        who: Who,
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
struct Who {
    worker: u32,
    life: u32,
    pid: Option<i32>,
}

/// How a worker ended.
#[derive(Serialize)]
struct How {
    #[serde(flatten)]
    who: Who,
    cause: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    certainty: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sender: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    killed_after_grace: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fault: Option<String>,
    #[serde(flatten)]
    measured: Option<Measured>,
}

#[derive(Serialize)]
struct Measured {
    code: i32,
    signal: Option<String>,
    core: bool,
    wall_ms: f64,
    cpu_ms: f64,
    peak_bytes: u64,
    /// False: it used no more than that.
    peak_exact: bool,
}

impl Sink for Jsonl {
    fn output(&self, origin: Origin, piece: &[u8], held: &mut Held, out: &mut Vec<u8>) {
        held.split(piece, |line| output(origin, line, out));
    }

    fn output_ended(&self, origin: Origin, held: &mut Held, out: &mut Vec<u8>) {
        held.finish(|line| output(origin, line, out));
    }

    fn target(&self, _: Stream) -> Stream {
        Stream::Stdout
    }

    fn event(&self, event: &Event, out: &mut Vec<u8>) {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        match event {
            Event::Started { worker, pid } => {
                push(out, &Record::Started { time, who: Who::new(*worker, Some(*pid)) });
            }
            Event::Ended(ended) => {
                let (next, after) = next(ended.next);
                let after_ms =
                    after.map(|after| u64::try_from(after.as_millis()).unwrap_or(u64::MAX));
                push(out, &Record::Ended { time, how: How::new(ended), next, after_ms });
            }
            Event::Ready { .. }
            | Event::Stopping { .. }
            | Event::Undead { .. }
            | Event::ShuttingDown { .. }
            | Event::RollCalledOff { .. } => {}
        }
    }

    fn task(&self, row: &Row, out: &mut Vec<u8>) {
        if let Some(ended) = &row.last {
            let (task, restarts) = (row.worker.slot, row.restarts);
            push(out, &Record::Task { task, restarts, how: How::new(ended) });
        }
    }
}

fn output(origin: Origin, line: Line<'_>, out: &mut Vec<u8>) {
    let text = str::from_utf8(line.text);
    let record = Record::Output {
        who: Who::new(origin.worker, Some(origin.pid)),
        stream: origin.stream,
        line: text.ok(),
        line_base64: text.is_err().then(|| BASE64_STANDARD.encode(line.text)),
        continues: line.continues,
        partial: !line.ended,
    };
    push(out, &record);
}

fn push(out: &mut Vec<u8>, record: &Record<'_>) {
    let start = out.len();
    match serde_json::to_writer(&mut *out, record) {
        Ok(()) => out.push(b'\n'),
        // A record that cannot be written must not leave half of itself in the stream.
        Err(_) => out.truncate(start),
    }
}

impl Who {
    fn new(worker: WorkerId, pid: Option<i32>) -> Self {
        Self { worker: worker.slot, life: worker.life, pid }
    }
}

impl How {
    fn new(ended: &Ended) -> Self {
        let cause = match ended.cause {
            Cause::Exit => "exit",
            Cause::Signal(_) => "signal",
            Cause::Memory(_) => "memory",
            Cause::CpuLimit => "cpu limit",
            Cause::CouldNotStart(_) => "could not start",
            Cause::AskedToStop(Asked { why: StopReason::Shutdown, .. }) => "asked to stop",
            Cause::AskedToStop(Asked { why: StopReason::Roll, .. }) => "rolled",
        };
        let certainty = match ended.cause {
            Cause::Memory(Certainty::Sure) => Some("sure"),
            Cause::Memory(Certainty::Likely) => Some("likely"),
            _ => None,
        };
        let sender = match ended.cause {
            Cause::Signal(Sender::Itself) => Some("itself"),
            Cause::Signal(Sender::Outside) => Some("outside"),
            _ => None,
        };
        let killed_after_grace = match ended.cause {
            Cause::AskedToStop(asked) => Some(asked.killed),
            _ => None,
        };
        let fault = match ended.cause {
            Cause::CouldNotStart(fault) => Some(fault.to_string()),
            _ => None,
        };
        let measured = ended.evidence.as_ref().map(|evidence| Measured {
            code: evidence.status.shell_code(),
            signal: match evidence.status {
                Status::Signal { signal, .. } => Some(signal.to_string()),
                Status::Code(_) => None,
            },
            core: matches!(evidence.status, Status::Signal { core: true, .. }),
            wall_ms: milliseconds(evidence.wall),
            cpu_ms: milliseconds(evidence.cpu),
            peak_bytes: evidence.peak.bytes,
            peak_exact: evidence.peak.exact,
        });
        let who = Who::new(ended.worker, ended.pid);
        Self { who, cause, certainty, sender, killed_after_grace, fault, measured }
    }
}

fn next(next: Next) -> (&'static str, Option<Duration>) {
    match next {
        Next::Again(delay) => ("again", Some(delay)),
        Next::Replaced => ("replaced", None),
        Next::Done => ("done", None),
        Next::GaveUp => ("gave up", None),
    }
}

fn milliseconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 1e6).round() / 1e3
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the form serde wants")]
fn is_false(value: &bool) -> bool {
    !value
}
