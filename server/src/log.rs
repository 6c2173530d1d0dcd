//! How does the server say what happens? One line each on stderr, through a queue: a reader of
//! the log that has stopped never stops the server.

use std::{io, time::Duration};

use supervisor::sink::{Stream, writer::Writer};
use tokio::time::timeout;

/// At the end, a reader has this long to take what is left.
const LAST_LINES_WITHIN: Duration = Duration::from_secs(2);

/// The log.
#[derive(Debug)]
pub(crate) struct Log(Writer);

impl Log {
    pub(crate) fn open() -> io::Result<Self> {
        Writer::open(Vec::new()).map(Self)
    }

    /// Says a line.
    pub(crate) fn say(&self, line: &str) {
        self.0.push(Stream::Stderr, format!("{line}\n").into_bytes());
    }

    /// Waits until all is written, or nobody reads any more.
    pub(crate) async fn flush(&self) {
        let _ = timeout(LAST_LINES_WITHIN, self.0.flushed()).await;
    }
}
