//! What have workers written, as records? Pieces become lines again, each stream for itself.

use std::collections::HashMap;

use super::wire::GAP;
use crate::onlook::LogPiece;
use pool::event::WorkerId;
use records::{LogLine, json::push_line};

/// A line is cut behind so many bytes.
const LINE_BYTES_MAX: usize = 16 << 10;

/// Lines that are not whole yet.
#[derive(Debug, Default)]
pub(super) struct Lines(HashMap<(WorkerId, u8), Vec<u8>>);

impl Lines {
    /// The records of the lines that this piece completes.
    pub(super) fn of(&mut self, piece: &LogPiece) -> Vec<u8> {
        let mut out = Vec::new();
        let key = (piece.worker, piece.stream);
        let mut held = self.0.remove(&key).unwrap_or_default();
        for part in piece.bytes.split_inclusive(|byte| *byte == b'\n') {
            held.extend_from_slice(part);
            if held.ends_with(b"\n") || held.len() >= LINE_BYTES_MAX {
                write(piece.worker, piece.stream, &held, &mut out);
                held.clear();
            }
        }
        // Workers come and go, and most end with a whole line.
        if !held.is_empty() {
            self.0.insert(key, held);
        }
        out
    }

    /// Pieces were missed: no line goes on behind them. The record that says so.
    pub(super) fn gap(&mut self) -> Vec<u8> {
        let mut out = self.rest();
        out.extend_from_slice(GAP);
        out
    }

    /// Those of the lines that were never ended.
    pub(super) fn rest(&mut self) -> Vec<u8> {
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
        generation: worker.life,
        stream: if stream == 1 { "stdout".into() } else { "stderr".into() },
        line: String::from_utf8_lossy(line).into_owned(),
    };
    push_line(out, &record);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_become_lines_again() {
        let mut lines = Lines::default();
        let piece = |slot, bytes: &[u8]| LogPiece {
            worker: WorkerId { slot, life: 1 },
            stream: 1,
            bytes: bytes.into(),
        };
        let mut said = Vec::new();
        for piece in [piece(1, b"one\ntw"), piece(2, b"other\n"), piece(1, b"o\n\nend")] {
            said.extend(lines.of(&piece));
        }
        said.extend(lines.rest());
        assert!(lines.0.is_empty());
        let records = said.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let records = records.map(|line| serde_json::from_slice::<LogLine>(line).unwrap());
        let told: Vec<_> = records.map(|record| (record.worker, record.line)).collect();
        let expected = [(1, "one"), (2, "other"), (1, "two"), (1, ""), (1, "end")];
        assert_eq!(told, expected.map(|(worker, line)| (worker, line.to_owned())));
    }

    #[test]
    fn no_line_goes_on_behind_a_gap() {
        let mut lines = Lines::default();
        let worker = WorkerId { slot: 1, life: 1 };
        let piece = |bytes: &[u8]| LogPiece { worker, stream: 2, bytes: bytes.into() };
        let said = [lines.of(&piece(b"one")), lines.gap(), lines.of(&piece(b"two\n"))].concat();
        let said = String::from_utf8(said).unwrap();
        let line =
            |text| format!(r#"{{"worker":1,"generation":1,"stream":"stderr","line":"{text}"}}"#);
        let expected = [line("one"), r#"{"type":"gap"}"#.into(), line("two")];
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }
}
