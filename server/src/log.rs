//! The log of the server: lines on stderr. A thread writes them from a bounded queue, so that a
//! reader of the log that has stopped never stops the server.

use std::{io, thread, time::Duration};

use process::descriptors::write;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};

/// Lines that wait to be written; further lines are dropped.
const LINES_MAX: usize = 16 << 10;
/// Time that a reader has at the end to take what is left.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The stack of the thread, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// The queue in front of the thread.
#[derive(Debug)]
pub(crate) struct Log(mpsc::Sender<Entry>);

enum Entry {
    Line(String),
    /// Answered when all lines before it are written.
    Flush(oneshot::Sender<()>),
}

impl Log {
    /// Starts the thread. It is never joined: it may hang in a write as long as a reader likes, and
    /// ends with the process.
    pub(crate) fn open() -> io::Result<Self> {
        let (sender, mut entries) = mpsc::channel(LINES_MAX);
        let write_all = move || {
            while let Some(entry) = entries.blocking_recv() {
                match entry {
                    // There is nowhere to report that stderr failed.
                    Entry::Line(line) => drop(write(io::stderr(), line.as_bytes())),
                    Entry::Flush(done) => drop(done.send(())),
                }
            }
        };
        thread::Builder::new().name("log".into()).stack_size(STACK_BYTES).spawn(write_all)?;
        Ok(Self(sender))
    }

    /// Queues a line; never waits. The line is dropped if the queue is full.
    pub(crate) fn line(&self, line: &str) {
        let _ = self.0.try_send(Entry::Line(format!("{line}\n")));
    }

    /// Waits until all lines are written, or no reader has taken them in time.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self.0.send(Entry::Flush(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        let _ = timeout(FLUSH_TIMEOUT, flush).await;
    }
}
