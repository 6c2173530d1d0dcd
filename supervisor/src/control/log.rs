//! Records of workers' output: puts pieces back together into lines, each stream on its own.

use std::collections::HashMap;

use super::wire::GAP;
use crate::model::OutputPiece;
use pool::event::WorkerId;
use records::{LogLine, json::push_line};
use text::utf8::complete;

/// A line is cut after this many bytes, or before the character that they end in.
const LINE_BYTES_MAX: usize = 16 << 10;

/// The beginnings of lines whose ends have not arrived, by worker and stream.
#[derive(Debug, Default)]
pub(super) struct LineBuffers(HashMap<(WorkerId, u8), Vec<u8>>);

impl LineBuffers {
    /// Records for the lines that this piece completes.
    pub(super) fn push(&mut self, piece: &OutputPiece) -> Vec<u8> {
        let mut out = Vec::new();
        let key = (piece.worker, piece.stream);
        let mut held = self.0.remove(&key).unwrap_or_default();
        for part in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
            held.extend_from_slice(part);
            while held.len() > LINE_BYTES_MAX {
                let rest = held.split_off(complete(&held[..LINE_BYTES_MAX]));
                write(piece.worker, piece.stream, &held, &mut out);
                held = rest;
            }
            if held.ends_with(b"\n") {
                write(piece.worker, piece.stream, &held, &mut out);
                held.clear();
            }
        }
        // Most workers end with a whole line, and need no entry after their end.
        if !held.is_empty() {
            self.0.insert(key, held);
        }
        out
    }

    /// Ends all lines, because pieces were missed, and returns the record of the gap.
    pub(super) fn gap(&mut self) -> Vec<u8> {
        let mut out = self.finish();
        out.extend_from_slice(GAP);
        out
    }

    /// Records for the lines that never ended.
    pub(super) fn finish(&mut self) -> Vec<u8> {
        let mut out = Vec::new();
        let mut held: Vec<_> = self.0.drain().collect();
        held.sort_unstable();
        held.iter().for_each(|((worker, stream), line)| write(*worker, *stream, line, &mut out));
        out
    }
}

fn write(worker: WorkerId, stream: u8, line: &[u8], out: &mut Vec<u8>) {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    let record = LogLine {
        worker: worker.slot,
        generation: worker.generation,
        stream: if stream == 1 { "stdout".into() } else { "stderr".into() },
        line: String::from_utf8_lossy(line).into_owned(),
    };
    push_line(out, &record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_put_together_into_lines() {
        let mut lines = LineBuffers::default();
        let piece = |slot, bytes: &[u8]| OutputPiece {
            worker: WorkerId { slot, generation: 1 },
            stream: 1,
            bytes: bytes.into(),
        };
        let mut records = Vec::new();
        for piece in [piece(1, b"one\ntw"), piece(2, b"other\n"), piece(1, b"o\n\nend")] {
            records.extend(lines.push(&piece));
        }
        records.extend(lines.finish());
        assert!(lines.0.is_empty());
        let records = records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records = records.map(|line| serde_json::from_slice::<LogLine>(line).unwrap());
        let lines_of: Vec<_> = records.map(|record| (record.worker, record.line)).collect();
        let expected = [(1, "one"), (2, "other"), (1, "two"), (1, ""), (1, "end")];
        assert_eq!(lines_of, expected.map(|(worker, line)| (worker, line.to_owned())));
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let (worker, mut lines) = (WorkerId { slot: 1, generation: 1 }, LineBuffers::default());
        let long = "a".to_owned() + &"€".repeat(LINE_BYTES_MAX) + "\n";
        let pieces = long.as_bytes().chunks(LINE_BYTES_MAX);
        let records: Vec<u8> = pieces
            .flat_map(|bytes| lines.push(&OutputPiece { worker, stream: 1, bytes: bytes.into() }))
            .collect();
        let records = records.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let text: String =
            records.map(|line| serde_json::from_slice::<LogLine>(line).unwrap().line).collect();
        assert!(text + "\n" == long);
    }

    #[test]
    fn no_line_continues_after_a_gap() {
        let mut lines = LineBuffers::default();
        let worker = WorkerId { slot: 1, generation: 1 };
        let piece = |bytes: &[u8]| OutputPiece { worker, stream: 2, bytes: bytes.into() };
        let records =
            [lines.push(&piece(b"one")), lines.gap(), lines.push(&piece(b"two\n"))].concat();
        let records = String::from_utf8(records).unwrap();
        let line =
            |text| format!(r#"{{"worker":1,"generation":1,"stream":"stderr","line":"{text}"}}"#);
        let expected = [line("one"), r#"{"type":"gap"}"#.into(), line("two")];
        assert_eq!(records.lines().collect::<Vec<_>>(), expected);
    }
}
