//! Output of workers: pieces on their way to observers.

use std::sync::Arc;

use pool::event::WorkerId;

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
