//! Output of workers: pieces on their way to observers, and how much is kept as evidence.

use std::sync::Arc;

use pool::event::WorkerId;

/// Bytes kept of the end of an output stream. A program that dies for lack of memory usually reports
/// it in its last lines, and the record of a quarantined job shows them.
pub const TAIL_BYTES: usize = 8 << 10;

/// One read of a worker's output; it may begin and end in the middle of a line.
#[derive(Clone, Debug)]
pub struct OutputPiece {
    /// The worker that wrote it.
    pub worker: WorkerId,
    /// The stream it was written to: 1 for stdout, 2 for stderr.
    pub stream: u8,
    /// The bytes, unchanged.
    pub bytes: Arc<[u8]>,
}
