//! Lines for people: `[2] text`, and at the end `Task 2 (PID n) exited with code c`.

use std::{
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

use super::{Held, Origin, Sink, Stream, lines::Line};
use crate::{
    escape::visible,
    event::{Ended, Event},
};

/// Each line with the worker's number in front.
#[derive(Debug)]
pub(super) struct Text {
    timestamps: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Text {
    pub(super) fn new(timestamps: bool) -> Self {
        Self {
            timestamps,
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }

    /// `[2] text`; `[2+] text` goes on a line that was too long for one.
    fn line(&self, origin: Origin, line: Line<'_>, out: &mut Vec<u8>) {
        if self.timestamps {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let _ = write!(out, "{now} ");
        }
        let goes_on = if line.continues { "+" } else { "" };
        let _ = write!(out, "[{}{goes_on}] ", origin.worker.slot);
        let is_terminal = match origin.stream {
            Stream::Stdout => self.stdout_is_terminal,
            Stream::Stderr => self.stderr_is_terminal,
        };
        if is_terminal {
            out.extend_from_slice(visible(line.text).as_bytes());
        } else {
            out.extend_from_slice(line.text);
        }
        out.push(b'\n');
    }
}

impl Sink for Text {
    fn output(&self, origin: Origin, piece: &[u8], held: &mut Held, out: &mut Vec<u8>) {
        held.split(piece, |line| self.line(origin, line, out));
    }

    fn output_ended(&self, origin: Origin, held: &mut Held, out: &mut Vec<u8>) {
        held.finish(|line| self.line(origin, line, out));
    }

    fn target(&self, stream: Stream) -> Stream {
        stream
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        task_line(ended, out);
    }
}

/// The chapter's line.
pub(super) fn task_line(ended: &Ended, out: &mut Vec<u8>) {
    if let (Some(pid), Some(evidence)) = (ended.pid, &ended.evidence) {
        let (task, code) = (ended.worker.slot, evidence.status.shell_code());
        let _ = writeln!(out, "Task {task} (PID {pid}) exited with code {code}");
    }
}
