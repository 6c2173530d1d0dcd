//! The line that stays at the bottom of a terminal while other output scrolls by above it. The
//! writer thread erases it before it writes anything else to the terminal, and restores it after.

use std::io::{self, IsTerminal};

use super::Stream;

/// Moves the cursor to the beginning of the line and erases the line.
const ERASE: &[u8] = b"\r\x1b[K";

/// The line, as the writer thread knows it.
#[derive(Debug)]
pub(super) struct StatusLine {
    wanted: Vec<u8>,
    is_shown: bool,
    /// Whether stdout and stderr are terminals.
    on_terminal: [bool; 2],
    /// The last output stopped in the middle of a line, so that there is no room for this one.
    is_mid_line: bool,
}

impl Default for StatusLine {
    fn default() -> Self {
        let on_terminal = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        Self { wanted: Vec::new(), is_shown: false, on_terminal, is_mid_line: false }
    }
}

impl StatusLine {
    /// The bytes to write to stderr before `bytes` go to `stream`.
    pub(super) fn before(&mut self, stream: Stream, bytes: &[u8]) -> &'static [u8] {
        if !self.on_terminal[usize::from(stream == Stream::Stderr)] {
            return b"";
        }
        self.is_mid_line = bytes.last().is_some_and(|last| *last != b'\n');
        if std::mem::take(&mut self.is_shown) { ERASE } else { b"" }
    }

    /// Sets the text of the line; an empty text removes it.
    pub(super) fn set(&mut self, wanted: Vec<u8>) {
        self.wanted = wanted;
    }

    /// The bytes to write to stderr when no other output waits.
    pub(super) fn after(&mut self) -> Vec<u8> {
        let mut out = if self.is_shown { ERASE.to_vec() } else { Vec::new() };
        self.is_shown = !self.wanted.is_empty() && !self.is_mid_line;
        if self.is_shown {
            out.extend_from_slice(&self.wanted);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(on_terminal: [bool; 2]) -> StatusLine {
        StatusLine { on_terminal, ..StatusLine::default() }
    }

    #[test]
    fn the_line_is_erased_for_other_output_and_restored() {
        let mut line = line([false, true]);
        assert_eq!(line.after(), b"");
        line.set(b"5 done".to_vec());
        assert_eq!(line.after(), b"5 done");
        assert_eq!(line.before(Stream::Stdout, b"reply\n"), b"", "stdout is not the terminal");
        assert_eq!(line.before(Stream::Stderr, b"line\n"), ERASE);
        assert_eq!(line.before(Stream::Stderr, b"line\n"), b"");
        assert_eq!(line.after(), b"5 done");
        line.set(Vec::new());
        assert_eq!(line.after(), ERASE);
        assert_eq!(line.after(), b"");
    }

    #[test]
    fn the_line_is_not_drawn_in_the_middle_of_a_line() {
        let mut line = line([true, true]);
        line.set(b"5 done".to_vec());
        assert_eq!(line.before(Stream::Stdout, b"half"), b"");
        assert_eq!(line.after(), b"");
        assert_eq!(line.before(Stream::Stdout, b" a line\n"), b"");
        assert_eq!(line.after(), b"5 done");
    }
}
