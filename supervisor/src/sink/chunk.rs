//! What the writer thread writes at a time.

use std::{fmt, io};

use nix::errno::Errno;

use super::writer::Stream;

/// Where a chunk goes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) enum Target {
    Stream(Stream),
    /// The end of the report with this index.
    Report(usize),
    /// The beginning of the report with this index, which is overwritten.
    Head(usize),
}

#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) target: Target,
    pub(super) content: Content,
    pub(super) is_droppable: bool,
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    /// Too long for memory: the thread asks for one piece after the other.
    Long(Box<dyn Pieces>),
}

/// Bytes that are made while they are written.
pub(super) trait Pieces: fmt::Debug + Send {
    /// About how many bytes there are in all.
    fn bytes(&self) -> usize;

    /// Appends the next piece; nothing at the end.
    ///
    /// # Errors
    /// The bytes cannot be read from where they are kept.
    fn next(&mut self, out: &mut Vec<u8>) -> io::Result<()>;
}

impl Content {
    pub(super) fn bytes(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Long(pieces) => pieces.bytes(),
        }
    }

    /// The number of lines, as far as they are in memory.
    pub(super) fn lines(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => memchr::memchr_iter(b'\n', bytes).count() as u64,
            Self::Long(_) => 1,
        }
    }

    /// Passes everything to `write`.
    pub(super) fn write(
        &mut self,
        mut write: impl FnMut(&[u8]) -> nix::Result<()>,
    ) -> nix::Result<()> {
        let pieces = match self {
            Self::Bytes(bytes) => return write(bytes),
            Self::Long(pieces) => pieces,
        };
        let mut piece = Vec::new();
        loop {
            piece.clear();
            let next = pieces.next(&mut piece);
            next.map_err(|error| Errno::from_raw(error.raw_os_error().unwrap_or(libc::EIO)))?;
            if piece.is_empty() {
                return Ok(());
            }
            write(&piece)?;
        }
    }
}
