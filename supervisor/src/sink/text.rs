//! Lines for people: `[2] text`, and at the end `Task 2 (PID n) exited with code c`. With jobs,
//! replies go to stdout unchanged, and other output of workers to stderr as `[2 #17] text`.

use std::{
    io::{self, IsTerminal, Write},
    time::SystemTime,
};

use super::{LineBuffer, Origin, Sink, Stream, line_buffer::Line};
use crate::model::tag;
use pool::{
    event::{Ended, Event},
    job::{JobEnd, Outcome},
};
use text::escape::visible;

/// Puts the worker's number in front of each line.
#[derive(Debug)]
pub(super) struct Text {
    timestamps: bool,
    /// Whether each line of a reply has its job in front.
    tag: bool,
    has_jobs: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Text {
    pub(super) fn new(timestamps: bool, tag: bool, has_jobs: bool) -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        let stderr_is_terminal = io::stderr().is_terminal();
        Self { timestamps, tag, has_jobs, stdout_is_terminal, stderr_is_terminal }
    }

    /// `[2] text`; `[2+] text` continues a line that was too long.
    fn line(&self, origin: Origin, line: Line<'_>, out: &mut Vec<u8>) {
        if self.timestamps {
            let now = humantime::format_rfc3339_millis(SystemTime::now());
            let _ = write!(out, "{now} ");
        }
        let goes_on = if line.continues { "+" } else { "" };
        let _ = write!(out, "[{}{goes_on}", origin.worker.slot);
        if let Some(job) = origin.job {
            let _ = write!(out, " #{job}");
        }
        out.extend_from_slice(b"] ");
        let is_terminal = match self.target(origin.stream) {
            Stream::Stdout => self.stdout_is_terminal,
            Stream::Stderr => self.stderr_is_terminal,
        };
        put(line.text, is_terminal, out);
        out.push(b'\n');
    }

    /// A reply, with a newline at its end, and with the job in front of each line if that is wanted.
    fn reply(&self, job: &[u8], reply: &[u8], out: &mut Vec<u8>) {
        if !self.tag && !self.stdout_is_terminal {
            out.extend_from_slice(reply);
            if !reply.ends_with(b"\n") {
                out.push(b'\n');
            }
            return;
        }
        for line in reply.strip_suffix(b"\n").unwrap_or(reply).split(|byte| *byte == b'\n') {
            if self.tag {
                put(&tag(job), self.stdout_is_terminal, out);
                out.push(b'\t');
            }
            put(line, self.stdout_is_terminal, out);
            out.push(b'\n');
        }
    }
}

/// The bytes unchanged; on a terminal, with visible control characters.
fn put(text: &[u8], is_terminal: bool, out: &mut Vec<u8>) {
    if is_terminal {
        out.extend_from_slice(visible(text).as_bytes());
    } else {
        out.extend_from_slice(text);
    }
}

impl Sink for Text {
    fn output(&self, origin: Origin, piece: &[u8], buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        buffer.split(piece, |line| self.line(origin, line, out));
    }

    fn output_ended(&self, origin: Origin, buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        buffer.finish(|line| self.line(origin, line, out));
    }

    fn target(&self, stream: Stream) -> Stream {
        if self.has_jobs { Stream::Stderr } else { stream }
    }

    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        if let JobEnd::Ok(reply) = &outcome.end {
            self.reply(outcome.payload.as_bytes(), reply.as_bytes(), out);
        }
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        if !self.has_jobs {
            task_line(ended, out);
        }
    }
}

/// The final line of a slot: `Task 1 (PID n) exited with code c`.
pub(super) fn task_line(ended: &Ended, out: &mut Vec<u8>) {
    if let (Some(pid), Some(evidence)) = (ended.pid, &ended.evidence) {
        let (task, code) = (ended.worker.slot, evidence.status.shell_code());
        let _ = writeln!(out, "Task {task} (PID {pid}) exited with code {code}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::event::WorkerId;

    fn reply(tag: bool, stdout_is_terminal: bool, job: &[u8], reply: &[u8]) -> String {
        let text = Text { tag, stdout_is_terminal, ..Text::new(false, false, true) };
        let mut out = Vec::new();
        text.reply(job, reply, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_tagged_reply_has_its_job_in_front_of_each_line() {
        let two = b"one\ntwo\n";
        assert_eq!(reply(false, false, b"a", b"plain \x1b"), "plain \x1b\n");
        assert_eq!(reply(false, false, b"a", two), "one\ntwo\n");
        assert_eq!(reply(false, false, b"a", b""), "\n");
        assert_eq!(reply(false, true, b"a", b"\x1b[31m\nb"), "^[[31m\nb\n");
        assert_eq!(reply(true, false, b"a b", two), "a b\tone\na b\ttwo\n");
        assert_eq!(reply(true, true, b"\x07", b"x\n\n"), "^G\tx\n^G\t\n");
    }

    #[test]
    fn a_line_of_output_shows_its_worker_and_its_job() {
        let line = |job, has_jobs| {
            let plain = Text::new(false, false, has_jobs);
            let text = Text { stdout_is_terminal: false, stderr_is_terminal: true, ..plain };
            let (worker, stream) = (WorkerId { slot: 2, generation: 1 }, Stream::Stdout);
            let (mut buffer, mut out) = (LineBuffer::default(), Vec::new());
            text.output(Origin { worker, pid: 7, stream, job }, b"\x07\n", &mut buffer, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(line(Some(17), true), "[2 #17] ^G\n");
        assert_eq!(line(None, true), "[2] ^G\n");
        assert_eq!(line(None, false), "[2] \x07\n");
    }
}
