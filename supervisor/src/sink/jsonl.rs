//! One JSON record a line, on stdout: what the workers put out, what becomes of them, and at
//! the end how each slot ended up.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

use super::{Held, Origin, Sink, Stream, lines::Line};
use crate::{
    escape::is_obeyed,
    event::{Ended, Event, Next, WorkerId},
    exit::{Asked, Cause, Certainty, Sender, Status, StopReason},
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
    killed: Option<bool>,
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
            Event::Undead { worker } => {
                push(out, &Record::Undead { time, who: Who::new(*worker, None) });
            }
            Event::Ready { .. }
            | Event::Stopping { .. }
            | Event::ShuttingDown { .. }
            | Event::RollCalledOff { .. } => {}
        }
    }

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        let WorkerId { slot: task, life } = ended.worker;
        push(out, &Record::Task { task, restarts: life - 1, how: How::new(ended) });
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
    match record.serialize(&mut Serializer::with_formatter(&mut *out, Visible)) {
        Ok(()) => out.push(b'\n'),
        // A record that cannot be written must not leave half of itself in the stream.
        Err(_) => out.truncate(start),
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
        let killed = match ended.cause {
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
        Self { who, cause, certainty, sender, killed, fault, measured }
    }
}

fn next(next: Next) -> (&'static str, Option<Duration>) {
    match next {
        Next::Again(delay) => ("again", Some(delay)),
        Next::Replaced => ("replaced", None),
        Next::NotNeeded => ("not needed", None),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_holds_nothing_a_terminal_obeys_and_reads_back() {
        let line = "a\u{9b}31m\u{7f}\u{202e}\u{1b}\"é\n";
        let who = || Who { worker: 1, life: 1, pid: Some(7) };
        let stream = Stream::Stdout;
        let (line_base64, continues, partial) = (None, false, false);
        let record = Record::Output {
            who: who(),
            stream,
            line: Some(line),
            line_base64,
            continues,
            partial,
        };
        let mut out = Vec::new();
        push(&mut out, &record);
        let text = String::from_utf8(out).unwrap();
        assert!(!text.trim_end_matches('\n').chars().any(is_obeyed), "{text}");
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read["line"], line);
    }
}
