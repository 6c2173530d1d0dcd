//! How far a file was read, with the means to notice that what was read is no longer there.

use std::{fs::File, io, os::unix::fs::FileExt};

/// The number of bytes that are compared.
const LAST_BYTES: usize = 4 << 10;

/// A position in a file.
#[derive(Clone, Default, Debug)]
pub(super) struct Position {
    /// The number of bytes before the position.
    bytes: u64,
    /// The last of them.
    last: Vec<u8>,
    /// The largest size of the file that was seen.
    seen: u64,
}

/// What has become of the bytes before a position.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Before {
    Unchanged,
    /// The file is shorter now.
    Truncated,
    /// The file has other bytes there.
    Rewritten,
}

impl Position {
    /// A position before which nothing was read.
    pub(super) fn at(bytes: u64) -> Self {
        Self { bytes, last: Vec::new(), seen: bytes }
    }

    /// Moves the position behind a piece that was read.
    pub(super) fn advance(&mut self, piece: &[u8]) {
        self.bytes += piece.len() as u64;
        self.seen = self.seen.max(self.bytes);
        self.last.extend_from_slice(&piece[piece.len().saturating_sub(LAST_BYTES)..]);
        self.last.drain(..self.last.len().saturating_sub(LAST_BYTES));
    }

    /// Compares the file with what was read.
    pub(super) fn check(&mut self, file: &File) -> io::Result<Before> {
        let length = file.metadata()?.len();
        if length < self.bytes {
            return Ok(Before::Truncated);
        }
        self.seen = self.seen.max(length);
        let mut now = vec![0; self.last.len()];
        match file.read_exact_at(&mut now, self.bytes - self.last.len() as u64) {
            Ok(()) if now == self.last => Ok(Before::Unchanged),
            Ok(()) => Ok(Before::Rewritten),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(Before::Truncated),
            Err(error) => Err(error),
        }
    }

    /// The number of bytes behind the position, as far as they were seen.
    pub(super) fn unread(&self) -> u64 {
        self.seen - self.bytes
    }

    /// The number of bytes before the position.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }
}
