//! What have workers written lately? The last of it is kept, for those who ask later.

use std::{collections::VecDeque, sync::Arc};

use tokio::sync::broadcast;

use super::{Origin, Stream};
use crate::onlook::LogPiece;

/// So many bytes are kept.
const BYTES_MAX: usize = 256 << 10;
/// And so many pieces for those who follow and are slow.
const PIECES_MAX: usize = 1024;

/// The last pieces of output.
#[derive(Debug)]
pub(super) struct Recent {
    pieces: VecDeque<LogPiece>,
    bytes: usize,
    fresh: broadcast::Sender<LogPiece>,
}

impl Default for Recent {
    fn default() -> Self {
        Self { pieces: VecDeque::new(), bytes: 0, fresh: broadcast::channel(PIECES_MAX).0 }
    }
}

impl Recent {
    pub(super) fn push(&mut self, origin: Origin, bytes: &[u8]) {
        // Of what is longer than all that is kept, the end.
        let bytes: Arc<[u8]> = bytes[bytes.len().saturating_sub(BYTES_MAX)..].into();
        let stream = if origin.stream == Stream::Stdout { 1 } else { 2 };
        let piece = LogPiece { worker: origin.worker, stream, bytes };
        self.bytes += piece.bytes.len();
        while self.bytes > BYTES_MAX
            && let Some(old) = self.pieces.pop_front()
        {
            self.bytes -= old.bytes.len();
        }
        // Mostly nobody follows.
        if self.fresh.receiver_count() > 0 {
            let _ = self.fresh.send(piece.clone());
        }
        self.pieces.push_back(piece);
    }

    /// What is kept, and what comes.
    pub(super) fn follow(&self) -> (Vec<LogPiece>, broadcast::Receiver<LogPiece>) {
        (self.pieces.iter().cloned().collect(), self.fresh.subscribe())
    }
}
