//! Splits a stream of bytes into lines, independently of the pieces that it arrives in.

use ::text::utf8::complete;

/// The longest line, in bytes; a longer one comes out in parts.
pub(super) const LINE_BYTES_MAX: usize = 16 << 10;

/// The beginning of a line whose end has not arrived.
#[derive(Debug, Default)]
pub struct LineBuffer {
    bytes: Vec<u8>,
    /// Whether a part of the line has come out already.
    continues: bool,
}

/// A line, or a part of one that was too long.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Line<'a> {
    /// The bytes without the newline.
    pub(super) text: &'a [u8],
    /// Whether this continues the line before it.
    pub(super) continues: bool,
    /// Whether a newline followed.
    pub(super) ended: bool,
}

impl LineBuffer {
    /// Splits a piece into lines, and keeps what follows the last newline.
    pub(super) fn split(&mut self, mut piece: &[u8], mut each: impl FnMut(Line<'_>)) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.take(&piece[..end], &mut each);
            self.give(true, &mut each);
            piece = &piece[end + 1..];
        }
        self.take(piece, &mut each);
    }

    /// Ends the stream: what was kept comes out as a line without a newline.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Line<'_>)) {
        if !self.bytes.is_empty() {
            self.give(false, &mut each);
        }
    }

    /// Adds to what is kept; parts of full length come out, cut between characters.
    fn take(&mut self, mut text: &[u8], each: &mut impl FnMut(Line<'_>)) {
        while self.bytes.len() + text.len() > LINE_BYTES_MAX {
            let (part, rest) = text.split_at(LINE_BYTES_MAX - self.bytes.len());
            self.bytes.extend_from_slice(part);
            let begun = self.bytes.split_off(complete(&self.bytes));
            self.give(false, each);
            self.bytes.extend_from_slice(&begun);
            text = rest;
        }
        self.bytes.extend_from_slice(text);
    }

    /// Lets out what is kept, and frees a large buffer.
    fn give(&mut self, ended: bool, each: &mut impl FnMut(Line<'_>)) {
        each(Line { text: &self.bytes, continues: self.continues, ended });
        self.continues = !ended;
        self.bytes.clear();
        if self.bytes.capacity() > KEPT_BYTES_MAX {
            self.bytes = Vec::new();
        }
    }
}

/// The largest buffer that is kept from line to line, in bytes.
const KEPT_BYTES_MAX: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines(pieces: &[&[u8]]) -> Vec<(Vec<u8>, bool, bool)> {
        let (mut buffer, mut lines) = (LineBuffer::default(), Vec::new());
        let mut keep =
            |line: Line<'_>| lines.push((line.text.to_vec(), line.continues, line.ended));
        pieces.iter().for_each(|piece| buffer.split(piece, &mut keep));
        buffer.finish(&mut keep);
        lines
    }

    #[test]
    fn a_long_line_comes_out_in_parts() {
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        let parts = lines(&[&long, b"\ny"]);
        let shape: Vec<_> =
            parts.iter().map(|(text, goes_on, end)| (text.len(), *goes_on, *end)).collect();
        let max = LINE_BYTES_MAX;
        assert_eq!(
            shape,
            [(max, false, false), (max, true, false), (5, true, true), (1, false, false)]
        );
    }

    #[test]
    fn a_long_line_is_cut_between_characters() {
        let long = "a".to_owned() + &"€".repeat(LINE_BYTES_MAX);
        for cut in [LINE_BYTES_MAX - 1, LINE_BYTES_MAX, LINE_BYTES_MAX + 1] {
            let (one, two) = long.as_bytes().split_at(cut);
            let parts = lines(&[one, two]);
            assert!(parts.len() > 3 && parts.iter().all(|(part, ..)| str::from_utf8(part).is_ok()));
            let back: Vec<u8> = parts.into_iter().flat_map(|(part, ..)| part).collect();
            assert!(back == long.as_bytes());
        }
    }

    proptest! {
        #[test]
        fn lines_do_not_depend_on_how_the_stream_is_cut(
            text in prop::collection::vec(prop::sample::select(b"ab\n".to_vec()), 0..60),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..5),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let mut back = Vec::new();
            for (line, _, ended) in lines(&pieces) {
                back.extend_from_slice(&line);
                back.extend_from_slice(if ended { b"\n" } else { b"" });
            }
            prop_assert_eq!(&back, &text);
            prop_assert_eq!(lines(&pieces), lines(&[&text]));
        }
    }
}
