//! The output of commands, stdout to stdout and stderr to stderr: all of it when the command has
//! ended, or as it comes from a launcher that splits and tags the lines itself.

use std::io::{self, IsTerminal};

use super::{LineBuffer, Origin, Sink, Stream, chunk::Pieces};
use crate::model::tag;
use ::text::{escape::visible, units::show_size, utf8};
use pool::{
    command::{Captured, Gap},
    event::{Ended, Event},
    job::{AttemptEnd, Outcome},
};

/// The sink of `each`.
#[derive(Debug)]
pub(super) struct CommandOutput {
    /// Whether each line begins with the job's inputs.
    tag: bool,
    /// Whether output that comes before the end is written as it is, to a terminal too.
    raw: bool,
    terminals: Terminals,
}

/// Which streams of the supervisor are terminals.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terminals {
    stdout: bool,
    stderr: bool,
}

impl Terminals {
    pub(super) fn find() -> Self {
        Self { stdout: io::stdout().is_terminal(), stderr: io::stderr().is_terminal() }
    }

    pub(super) fn has(self, stream: Stream) -> bool {
        match stream {
            Stream::Stdout => self.stdout,
            Stream::Stderr => self.stderr,
        }
    }
}

impl CommandOutput {
    pub(super) fn new(tag: bool, raw: bool) -> Self {
        Self { tag, raw, terminals: Terminals::find() }
    }

    fn format(&self, stream: Stream, outcome: &Outcome) -> LineFormat {
        let tag = self.tag.then(|| tag(outcome.payload.as_bytes()).into_owned());
        LineFormat::new(tag, self.terminals.has(stream))
    }

    fn captured(&self, outcome: &Outcome, stream: Stream, out: &mut Vec<u8>) {
        let Some(captured) = captured(outcome) else { return };
        let (bytes, gap) = match stream {
            Stream::Stdout => (captured.stdout(), captured.gaps()[0]),
            Stream::Stderr => (captured.stderr(), captured.gaps()[1]),
        };
        if bytes.is_empty() && gap.bytes == 0 {
            return;
        }
        let mut format = self.format(stream, outcome);
        let at = usize::try_from(gap.at).unwrap_or(bytes.len()).min(bytes.len());
        let (head, tail) = if gap.bytes == 0 { (bytes, &b""[..]) } else { bytes.split_at(at) };
        format.put(head, out);
        if gap.bytes > 0 {
            format.mark(gap, out);
        }
        format.put(tail, out);
        format.finish(out);
    }
}

/// The output of the last attempt, as GNU parallel shows it.
fn captured(outcome: &Outcome) -> Option<&Captured> {
    match &outcome.last.as_ref()?.end {
        AttemptEnd::Ran(ran) => Some(&ran.output),
        _ => None,
    }
}

impl Sink for CommandOutput {
    fn output(&self, origin: Origin, piece: &[u8], _: &mut LineBuffer, out: &mut Vec<u8>) {
        if self.raw {
            out.extend_from_slice(piece);
        } else {
            LineFormat::new(None, self.terminals.has(origin.stream)).put_all(&[piece], out);
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

    fn long_outcome(&self, outcome: &Outcome) -> Option<[Box<dyn Pieces>; 2]> {
        let captured = captured(outcome).filter(|captured| captured.is_stored())?;
        Some([(0, Stream::Stdout), (1, Stream::Stderr)].map(|(index, stream)| {
            let format = self.format(stream, outcome);
            Box::new(LongOutput::new(captured.clone(), index, format)) as Box<dyn Pieces>
        }))
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, _: &Ended, _: &mut Vec<u8>) {}
}

/// Formats a stream, wherever its pieces are cut: unchanged, or line by line with a tag in front,
/// and for a terminal with visible control characters.
#[derive(Debug)]
pub(super) struct LineFormat {
    tag: Option<Vec<u8>>,
    is_terminal: bool,
    is_mid_line: bool,
    /// The beginning of a character whose rest has not come.
    held: Vec<u8>,
}

impl LineFormat {
    pub(super) fn new(tag: Option<Vec<u8>>, is_terminal: bool) -> Self {
        Self { tag, is_terminal, is_mid_line: false, held: Vec::new() }
    }

    /// Appends all of a stream.
    pub(super) fn put_all(&mut self, pieces: &[&[u8]], out: &mut Vec<u8>) {
        pieces.iter().for_each(|piece| self.put(piece, out));
        self.finish(out);
    }

    fn put(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        if !self.is_terminal {
            return self.put_whole(bytes, out);
        }
        let mut all = std::mem::take(&mut self.held);
        all.extend_from_slice(bytes);
        self.held = all.split_off(utf8::complete(&all));
        self.put_whole(&all, out);
    }

    /// Appends the rest, though the character may not be complete.
    fn finish(&mut self, out: &mut Vec<u8>) {
        let held = std::mem::take(&mut self.held);
        self.put_whole(&held, out);
    }

    /// Appends a line that says how much is missing here.
    fn mark(&mut self, gap: Gap, out: &mut Vec<u8>) {
        self.finish(out);
        let end = if self.is_mid_line { "\n" } else { "" };
        self.put_whole(end.as_bytes(), out);
        let size = show_size(gap.bytes);
        self.put_whole(format!("[supervisor: {size} are left out here]\n").as_bytes(), out);
    }

    fn put_whole(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        let Some(last) = bytes.last() else { return };
        if self.tag.is_none() && !self.is_terminal {
            out.extend_from_slice(bytes);
        } else {
            for line in bytes.split_inclusive(|byte| *byte == b'\n') {
                self.put_line(line, out);
            }
        }
        self.is_mid_line = *last != b'\n';
    }

    /// Appends a line, or a part of one.
    fn put_line(&mut self, line: &[u8], out: &mut Vec<u8>) {
        if let Some(tag) = self.tag.as_ref().filter(|_| !self.is_mid_line) {
            put(tag, self.is_terminal, out);
            out.push(b'\t');
        }
        let text = line.strip_suffix(b"\n").unwrap_or(line);
        put(text, self.is_terminal, out);
        out.extend_from_slice(&line[text.len()..]);
        self.is_mid_line = text.len() == line.len();
    }
}

fn put(text: &[u8], is_terminal: bool, out: &mut Vec<u8>) {
    if is_terminal {
        out.extend_from_slice(visible(text).as_bytes());
    } else {
        out.extend_from_slice(text);
    }
}

/// A stream that is too long for memory, on its way to the writer.
#[derive(Debug)]
pub(super) struct LongOutput {
    captured: Captured,
    index: usize,
    format: LineFormat,
    at: u64,
    /// What is missing ahead.
    gap: Option<Gap>,
}

impl LongOutput {
    pub(super) fn new(captured: Captured, index: usize, format: LineFormat) -> Self {
        let gap = Some(captured.gaps()[index]).filter(|gap| gap.bytes > 0);
        Self { captured, index, format, at: 0, gap }
    }

    fn end(&self) -> u64 {
        self.captured.bytes()[self.index]
    }
}

impl Pieces for LongOutput {
    fn bytes(&self) -> usize {
        usize::try_from(self.end()).unwrap_or(usize::MAX)
    }

    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<()> {
        const PIECE_BYTES: u64 = 256 << 10;
        while out.is_empty() {
            let upto = self.gap.map_or(self.end(), |gap| gap.at.min(self.end()));
            let length = upto.saturating_sub(self.at).min(PIECE_BYTES);
            if length > 0 {
                let mut piece = Vec::new();
                let bytes = usize::try_from(length).unwrap_or(0);
                self.captured.read(self.index, self.at, bytes, &mut piece)?;
                self.at += length;
                self.format.put(&piece, out);
            } else if let Some(gap) = self.gap.take() {
                self.format.mark(gap, out);
            } else {
                self.format.finish(out);
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::job::Payload;

    fn shown(is_terminal: bool, tag: Option<&[u8]>, pieces: &[&[u8]]) -> Vec<u8> {
        let mut format = LineFormat::new(tag.map(<[u8]>::to_vec), is_terminal);
        let mut out = Vec::new();
        pieces.iter().for_each(|piece| format.put(piece, &mut out));
        format.finish(&mut out);
        out
    }

    #[test]
    fn output_is_as_it_was_written_and_harmless_on_a_terminal() {
        let bytes = b"a\x1b[2J\n\n\xffend";
        assert_eq!(shown(false, None, &[bytes]), bytes);
        assert_eq!(shown(true, None, &[bytes]), b"a^[[2J\n\n\\xffend");
        assert_eq!(shown(false, Some(b"x y"), &[b"1\n2"]), b"x y\t1\nx y\t2");
        assert_eq!(shown(true, Some(b"^G"), &[b"1\n"]), b"^G\t1\n");
        assert_eq!(shown(false, Some(b"x"), &[b""]), b"");
    }

    #[test]
    fn the_format_does_not_depend_on_how_the_stream_is_cut() {
        let text = "aé\n€😀\n\nb\u{1b}".as_bytes();
        for (is_terminal, tag) in [(false, None), (true, None), (true, Some(&b"t"[..]))] {
            let whole = shown(is_terminal, tag, &[text]);
            for at in 0..=text.len() {
                let (one, two) = text.split_at(at);
                assert_eq!(shown(is_terminal, tag, &[one, two]), whole, "{at}");
            }
        }
    }

    #[test]
    fn a_gap_is_marked_in_a_line_of_its_own() {
        let gap = Gap { at: 2, bytes: 3 << 20 };
        let captured = Captured::new(Payload::copy(b"headtail"), [0..8, 8..8], [gap; 2]);
        let mut long = LongOutput::new(captured, 0, LineFormat::new(Some(b"t".to_vec()), false));
        let (mut all, mut piece) = (Vec::new(), Vec::new());
        while long.next(&mut piece).is_ok() && !piece.is_empty() {
            all.append(&mut piece);
        }
        let expected = "t\the\nt\t[supervisor: 3.0 MiB are left out here]\nt\tadtail";
        assert_eq!(String::from_utf8(all).unwrap(), expected);
    }
}
