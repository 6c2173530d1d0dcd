//! The log of the server: its own lines, and what the connections' processes write to stderr. A
//! thread writes it from a bounded queue, so that a reader of the log that has stopped never stops
//! the server.

use std::{
    io::{self, IsTerminal},
    sync::Arc,
    thread,
    time::Duration,
};

use process::descriptors::write;
use text::escape::visible;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};

/// Lines that wait to be written; further lines are dropped.
const LINES_MAX: usize = 16 << 10;
/// Pieces of the connections' output that wait to be written. A process whose output cannot be
/// queued waits in its next write.
const PIECES_MAX: usize = 64;
/// Time that a reader has at the end to take what is left.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(2);
/// The stack of the thread, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// The queue in front of the thread.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    queue: mpsc::Sender<Entry>,
    room: Arc<Semaphore>,
}

/// Room in the queue for a piece of output.
#[derive(Debug)]
pub(crate) struct Room {
    _permit: OwnedSemaphorePermit,
}

enum Entry {
    Line(String),
    Output(Vec<u8>, Room),
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

impl Log {
    /// Starts the thread. It is never joined: it may hang in a write as long as a reader likes, and
    /// ends with the process.
    pub(crate) fn open() -> io::Result<Self> {
        let (queue, mut entries) = mpsc::channel(LINES_MAX);
        let is_terminal = io::stderr().is_terminal();
        let write_all = move || {
            while let Some(entry) = entries.blocking_recv() {
                let (bytes, _room) = match entry {
                    Entry::Line(line) => (line.into_bytes(), None),
                    Entry::Output(bytes, room) if is_terminal => (printable(&bytes), Some(room)),
                    Entry::Output(bytes, room) => (bytes, Some(room)),
                    Entry::Flush(done) => {
                        let _ = done.send(());
                        continue;
                    }
                };
                // There is nowhere to report that stderr failed.
                let _ = write(io::stderr(), &bytes);
            }
        };
        thread::Builder::new().name("log".into()).stack_size(STACK_BYTES).spawn(write_all)?;
        Ok(Self { queue, room: Arc::new(Semaphore::new(PIECES_MAX)) })
    }

    /// Queues a line; never waits. The line is dropped if the queue is full.
    pub(crate) fn line(&self, line: &str) {
        let _ = self.queue.try_send(Entry::Line(format!("{line}\n")));
    }

    /// Waits for room for a piece of output.
    pub(crate) async fn room(&self) -> Room {
        match Arc::clone(&self.room).acquire_owned().await {
            Ok(permit) => Room { _permit: permit },
            // The semaphore is never closed.
            Err(_) => std::future::pending().await,
        }
    }

    /// Room for a piece of output, if there is any now.
    pub(crate) fn try_room(&self) -> Option<Room> {
        Arc::clone(&self.room).try_acquire_owned().ok().map(|permit| Room { _permit: permit })
    }

    /// Queues a piece of output.
    pub(crate) fn output(&self, bytes: Vec<u8>, room: Room) {
        let _ = self.queue.try_send(Entry::Output(bytes, room));
    }

    /// Waits until everything is written, or no reader has taken it in time.
    pub(crate) async fn flush(&self) {
        let (done, written) = oneshot::channel();
        let flush = async {
            if self.queue.send(Entry::Flush(done)).await.is_ok() {
                let _ = written.await;
            }
        };
        let _ = timeout(FLUSH_TIMEOUT, flush).await;
    }
}

/// Escapes what could control a terminal, in each line.
pub(crate) fn printable(text: &[u8]) -> Vec<u8> {
    let lines: Vec<String> = text.split(|byte| *byte == b'\n').map(visible).collect();
    lines.join("\n").into_bytes()
}
