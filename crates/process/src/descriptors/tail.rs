//! The end of an output stream, kept as evidence.

use std::os::fd::AsFd;

use super::look_ahead;

/// Bytes kept of the end of an output stream. A program that dies for lack of memory usually reports
/// it in its last lines, and the record of a quarantined job shows them.
pub const TAIL_BYTES: usize = 8 << 10;

/// The last [`TAIL_BYTES`] of an output stream.
#[derive(Default, Debug)]
pub struct Tail(Vec<u8>);

impl Tail {
    /// Adds what was read from the stream.
    pub fn push(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
        truncate(&mut self.0);
    }

    /// Whether nothing was read since the last [`Self::clear`].
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Forgets what was read.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// The end of the stream, including what still waits in the pipe and stays there: the most
    /// useful lines may not have been read yet. `None` stands for a stream that has ended.
    #[must_use]
    pub fn with_waiting(&self, pipe: Option<impl AsFd>) -> Vec<u8> {
        let mut bytes = self.0.clone();
        bytes.extend(pipe.and_then(|pipe| look_ahead(pipe).ok()).unwrap_or_default());
        truncate(&mut bytes);
        bytes
    }
}

fn truncate(bytes: &mut Vec<u8>) {
    let surplus = bytes.len().saturating_sub(TAIL_BYTES);
    bytes.drain(..surplus);
}

#[cfg(test)]
mod tests {
    use std::io::{self, Write};

    use super::*;

    #[test]
    fn a_tail_is_the_end_of_what_was_written_read_or_not() {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"yz").unwrap();
        let mut tail = Tail::default();
        tail.push(&[b'a'; TAIL_BYTES]);
        tail.push(b"x");
        let bytes = tail.with_waiting(Some(&read));
        assert_eq!((bytes.len(), &bytes[TAIL_BYTES - 4..]), (TAIL_BYTES, &b"axyz"[..]));
        tail.clear();
        assert_eq!(tail.with_waiting(None::<&io::PipeReader>), b"");
    }
}
