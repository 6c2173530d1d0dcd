//! The output of commands, stdout to stdout and stderr to stderr: all of it when the command has
//! ended, or as it comes from a launcher that splits and tags the lines itself.

use std::io::{self, IsTerminal};

use super::{LineBuffer, Origin, Sink, Stream};
use crate::template::INPUT_SEPARATOR;
use pool::{
    command::Captured,
    event::{Ended, Event},
    job::{AttemptEnd, Outcome},
};
use text::escape::visible;

/// The sink of `each`.
#[derive(Debug)]
pub(super) struct CommandOutput {
    /// Whether each line begins with the job's inputs.
    tag: bool,
    /// Whether output that comes before the end is written as it is, to a terminal too.
    raw: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl CommandOutput {
    pub(super) fn new(tag: bool, raw: bool) -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        let stderr_is_terminal = io::stderr().is_terminal();
        Self { tag, raw, stdout_is_terminal, stderr_is_terminal }
    }

    /// Appends bytes of a job as they are; for a terminal line by line, with control characters made
    /// visible.
    fn put(&self, stream: Stream, tag: Option<&[u8]>, bytes: &[u8], out: &mut Vec<u8>) {
        let is_terminal = match stream {
            Stream::Stdout => self.stdout_is_terminal,
            Stream::Stderr => self.stderr_is_terminal,
        };
        if tag.is_none() && !is_terminal {
            return out.extend_from_slice(bytes);
        }
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if let Some(inputs) = tag {
                let shown = inputs.iter().map(|b| if *b == INPUT_SEPARATOR { b' ' } else { *b });
                let shown: Vec<u8> = shown.collect();
                put(&shown, is_terminal, out);
                out.push(b'\t');
            }
            let (text, end) = match line.strip_suffix(b"\n") {
                Some(text) => (text, &b"\n"[..]),
                None => (line, &b""[..]),
            };
            put(text, is_terminal, out);
            out.extend_from_slice(end);
        }
    }

    fn captured(&self, outcome: &Outcome, stream: Stream, out: &mut Vec<u8>) {
        if let Some(captured) = captured(outcome) {
            let bytes = match stream {
                Stream::Stdout => captured.stdout(),
                Stream::Stderr => captured.stderr(),
            };
            let tag = self.tag.then(|| outcome.payload.as_bytes());
            self.put(stream, tag, bytes, out);
        }
    }
}

/// The output of the last attempt, as GNU parallel shows it.
fn captured(outcome: &Outcome) -> Option<&Captured> {
    match &outcome.last.as_ref()?.end {
        AttemptEnd::Ran(ran) => Some(&ran.output),
        _ => None,
    }
}

fn put(text: &[u8], is_terminal: bool, out: &mut Vec<u8>) {
    if is_terminal {
        out.extend_from_slice(visible(text).as_bytes());
    } else {
        out.extend_from_slice(text);
    }
}

impl Sink for CommandOutput {
    fn output(&self, origin: Origin, piece: &[u8], _: &mut LineBuffer, out: &mut Vec<u8>) {
        if self.raw {
            out.extend_from_slice(piece);
        } else {
            self.put(origin.stream, None, piece, out);
        }
    }

    fn output_ended(&self, _: Origin, _: &mut LineBuffer, _: &mut Vec<u8>) {}

    fn target(&self, stream: Stream) -> Stream {
        stream
    }

    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        self.captured(outcome, Stream::Stdout, out);
    }

    fn has_stderr(&self) -> bool {
        true
    }

    fn outcome_stderr(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        self.captured(outcome, Stream::Stderr, out);
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, _: &Ended, _: &mut Vec<u8>) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(stdout_is_terminal: bool, tag: Option<&[u8]>, bytes: &[u8]) -> Vec<u8> {
        let commands = CommandOutput { stdout_is_terminal, ..CommandOutput::new(false, false) };
        let mut out = Vec::new();
        commands.put(Stream::Stdout, tag, bytes, &mut out);
        out
    }

    #[test]
    fn output_is_as_it_was_written_and_harmless_on_a_terminal() {
        let bytes = b"a\x1b[2J\n\n\xffend";
        assert_eq!(shown(false, None, bytes), bytes);
        assert_eq!(shown(true, None, bytes), b"a^[[2J\n\n\\xffend");
        assert_eq!(shown(false, Some(b"x\0y"), b"1\n2"), b"x y\t1\nx y\t2");
        assert_eq!(shown(true, Some(b"\x07"), b"1\n"), b"^G\t1\n");
        assert_eq!(shown(false, Some(b"x"), b""), b"");
    }
}
