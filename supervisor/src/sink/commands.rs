//! What commands write, each stream to its like: all of it at once when the command has ended, or
//! as it comes from a launcher that cuts and tags it.

use std::io::{self, IsTerminal};

use super::{Held, Origin, Sink, Stream};
use crate::template::INPUT_SEPARATOR;
use pool::{
    command::Captured,
    event::{Ended, Event},
    job::{AttemptEnd, Outcome},
};
use text::escape::visible;

/// The output of commands.
#[derive(Debug)]
pub(super) struct Commands {
    /// Whether each line has the job's inputs in front.
    tag: bool,
    /// Whether what comes meanwhile is shown as it is, on a terminal too.
    raw: bool,
    stdout_is_terminal: bool,
    stderr_is_terminal: bool,
}

impl Commands {
    pub(super) fn new(tag: bool, raw: bool) -> Self {
        let stdout_is_terminal = io::stdout().is_terminal();
        let stderr_is_terminal = io::stderr().is_terminal();
        Self { tag, raw, stdout_is_terminal, stderr_is_terminal }
    }

    /// Bytes of a job as they are; on a terminal line by line, with nothing that it would obey.
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

/// What the last attempt wrote, as GNU parallel has it.
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

impl Sink for Commands {
    fn output(&self, origin: Origin, piece: &[u8], _: &mut Held, out: &mut Vec<u8>) {
        if self.raw {
            out.extend_from_slice(piece);
        } else {
            self.put(origin.stream, None, piece, out);
        }
    }

    fn output_ended(&self, _: Origin, _: &mut Held, _: &mut Vec<u8>) {}

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
        let commands = Commands { stdout_is_terminal, ..Commands::new(false, false) };
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
