//! Recent output of workers, kept for observers that ask for it later.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use ::text::utf8::from_character;
use tokio::sync::broadcast;

use super::{Origin, Stream};
use crate::model::OutputPiece;

/// The most bytes that are kept.
const BYTES_MAX: usize = 256 << 10;
/// The most pieces that wait for an observer that follows the output slowly.
const PIECES_MAX: usize = 1024;

/// The last pieces of output, oldest first.
#[derive(Debug)]
pub(super) struct Recent {
    pieces: VecDeque<OutputPiece>,
    bytes: usize,
    live: broadcast::Sender<OutputPiece>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, live: broadcast::channel(PIECES_MAX).0 }
    }
}

impl Recent {
    pub(super) fn push(&mut self, origin: Origin, bytes: &[u8]) {
        // Of a piece that is longer than the limit, only the end is kept.
        let end = &bytes[bytes.len().saturating_sub(BYTES_MAX)..];
        let bytes: Arc<[u8]> =
            if end.len() < bytes.len() { from_character(end) } else { end }.into();
        let stream = if origin.stream == Stream::Stdout { 1 } else { 2 };
        let piece = OutputPiece { worker: origin.worker, stream, bytes };
        self.bytes += piece.bytes.len();
        while self.bytes > BYTES_MAX
            && let Some(old) = self.pieces.pop_front()
        {
            self.bytes -= old.bytes.len();
        }
        if self.live.receiver_count() > 0 {
            let _ = self.live.send(piece.clone());
        }
        self.pieces.push_back(piece);
    }

    /// The pieces that are kept, and a receiver of those to come. The first piece of a stream may
    /// begin in the middle of a line, but not in the middle of a character.
    pub(super) fn follow(&self) -> (Vec<OutputPiece>, broadcast::Receiver<OutputPiece>) {
        let mut seen = HashSet::new();
        let piece = |piece: &OutputPiece| match seen.insert((piece.worker, piece.stream)) {
            true => OutputPiece { bytes: from_character(&piece.bytes).into(), ..piece.clone() },
            false => piece.clone(),
        };
        (self.pieces.iter().map(piece).collect(), self.live.subscribe())
    }
}
