//! What stays on the terminal's last line while other things scroll by above it? The thread that
//! writes takes it away before it writes anything else there, and puts it back after.

use std::io::{self, IsTerminal};

use super::Stream;

/// Back to the beginning of the line, and everything after that away.
const ERASE: &[u8] = b"\r\x1b[K";

/// The line, as the thread sees it.
#[derive(Debug)]
pub(super) struct Status {
    wanted: Vec<u8>,
    is_shown: bool,
    /// Which of our streams end up on the terminal: stdout, stderr.
    on_terminal: [bool; 2],
    /// Something else was left in the middle of a line: there is no place.
    is_amid: bool,
}

impl Default for Status {
    fn default() -> Self {
        let on_terminal = [io::stdout().is_terminal(), io::stderr().is_terminal()];
        Self { wanted: Vec::new(), is_shown: false, on_terminal, is_amid: false }
    }
}

impl Status {
    /// What is to be written to stderr before these bytes go to that stream.
    pub(super) fn before(&mut self, stream: Stream, bytes: &[u8]) -> &'static [u8] {
        if !self.on_terminal[usize::from(stream == Stream::Stderr)] {
            return b"";
        }
        self.is_amid = bytes.last().is_some_and(|last| *last != b'\n');
        if std::mem::take(&mut self.is_shown) { ERASE } else { b"" }
    }

    /// The line shall be this from now on; nothing where it shall be none.
    pub(super) fn set(&mut self, wanted: Vec<u8>) {
        self.wanted = wanted;
    }

    /// What is to be written to stderr when there is nothing else to write.
    pub(super) fn after(&mut self) -> Vec<u8> {
        let mut out = if self.is_shown { ERASE.to_vec() } else { Vec::new() };
        self.is_shown = !self.wanted.is_empty() && !self.is_amid;
        if self.is_shown {
            out.extend_from_slice(&self.wanted);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(on_terminal: [bool; 2]) -> Status {
        Status { on_terminal, ..Status::default() }
    }

    #[test]
    fn it_makes_way_and_comes_back() {
        let mut status = status([false, true]);
        assert_eq!(status.after(), b"");
        status.set(b"5 done".to_vec());
        assert_eq!(status.after(), b"5 done");
        assert_eq!(status.before(Stream::Stdout, b"reply\n"), b"", "that goes elsewhere");
        assert_eq!(status.before(Stream::Stderr, b"line\n"), ERASE);
        assert_eq!(status.before(Stream::Stderr, b"line\n"), b"");
        assert_eq!(status.after(), b"5 done");
        status.set(Vec::new());
        assert_eq!(status.after(), ERASE);
        assert_eq!(status.after(), b"");
    }

    #[test]
    fn it_never_stands_amid_a_line() {
        let mut status = status([true, true]);
        status.set(b"5 done".to_vec());
        assert_eq!(status.before(Stream::Stdout, b"half"), b"");
        assert_eq!(status.after(), b"");
        assert_eq!(status.before(Stream::Stdout, b" a line\n"), b"");
        assert_eq!(status.after(), b"5 done");
    }
}
