//! Who writes to stdout and stderr? A thread behind a queue bounded in bytes, so that a reader
//! that has stopped, or Ctrl-S, never stops supervision. The streams themselves stay blocking:
//! they are shared with whoever started us.

use std::{
    collections::VecDeque,
    io, mem,
    os::fd::AsFd,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::errno::Errno;
use serde::Serialize;
use tokio::sync::Notify;

use crate::os::descriptors::wait_writable;

/// While fewer bytes wait, there is room for a worker's output.
const ROOM_BYTES: usize = 256 << 10;
/// What we say ourselves is queued up to this many bytes, and then dropped and counted.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// A thread that writes needs little.
const STACK_BYTES: usize = 64 << 10;

/// One of the two streams a program writes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Data.
    Stdout,
    /// What is said about them.
    Stderr,
}

/// Why stdout can be written to no more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failure {
    /// Nobody reads it.
    Closed,
    /// The error number.
    Failed(i32),
}

/// The queue in front of the thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something came.
    filled: Condvar,
    /// Something was written, or stdout failed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<(Stream, Vec<u8>)>,
    bytes: usize,
    /// Taken and not yet written.
    writing: bool,
    dropped_bytes: u64,
    failure: Option<Failure>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn open() -> io::Result<Self> {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            filled: Condvar::new(),
            changed: Notify::new(),
        });
        let theirs = Arc::clone(&shared);
        // Never joined: it may hang in a write for as long as a reader likes, and ends with us.
        thread::Builder::new()
            .name("writer".into())
            .stack_size(STACK_BYTES)
            .spawn(move || theirs.write_all())?;
        Ok(Self { shared })
    }

    /// Queues bytes; never waits. Beyond the bound they are dropped, and counted.
    pub fn push(&self, stream: Stream, bytes: Vec<u8>) {
        if bytes.is_empty() {
            return;
        }
        let mut queue = self.shared.lock();
        let lost = stream == Stream::Stdout && queue.failure.is_some();
        if lost || queue.bytes + bytes.len() > QUEUE_BYTES_MAX {
            queue.dropped_bytes += bytes.len() as u64;
            return;
        }
        queue.bytes += bytes.len();
        queue.chunks.push_back((stream, bytes));
        self.shared.filled.notify_one();
    }

    /// Whether a worker's output may come.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.lock().bytes < ROOM_BYTES
    }

    /// Waits for room.
    pub async fn room(&self) {
        self.until(|queue| (queue.bytes < ROOM_BYTES).then_some(())).await;
    }

    /// Waits until all is written, or has failed to be.
    pub async fn flushed(&self) {
        self.until(|queue| (queue.chunks.is_empty() && !queue.writing).then_some(())).await;
    }

    /// Waits until stdout fails.
    pub async fn failed(&self) -> Failure {
        self.until(|queue| queue.failure).await
    }

    /// Why stdout has failed, if it has.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.shared.lock().failure
    }

    /// Bytes dropped so far.
    #[must_use]
    pub fn dropped_bytes(&self) -> u64 {
        self.shared.lock().dropped_bytes
    }

    /// Counts bytes that were dropped elsewhere.
    pub fn count_dropped(&self, bytes: usize) {
        self.shared.lock().dropped_bytes += bytes as u64;
    }

    async fn until<T>(&self, holds: impl Fn(&Queue) -> Option<T>) -> T {
        loop {
            let changed = self.shared.changed.notified();
            tokio::pin!(changed);
            // Before looking, so that no change between the look and the wait is missed.
            changed.as_mut().enable();
            if let Some(value) = holds(&self.shared.lock()) {
                return value;
            }
            changed.await;
        }
    }
}

impl Shared {
    /// The thread: takes all there is, writes it, and waits for more.
    fn write_all(&self) {
        loop {
            let chunks = self.take();
            for (stream, bytes) in chunks {
                let result = match stream {
                    Stream::Stdout => write(io::stdout(), &bytes),
                    Stream::Stderr => write(io::stderr(), &bytes),
                };
                let mut queue = self.lock();
                queue.bytes -= bytes.len();
                // There is nowhere to say that stderr failed.
                if let (Stream::Stdout, Err(error)) = (stream, result) {
                    queue.dropped_bytes += bytes.len() as u64;
                    queue.failure.get_or_insert(match error {
                        Errno::EPIPE => Failure::Closed,
                        error => Failure::Failed(error as i32),
                    });
                }
                drop(queue);
                self.changed.notify_waiters();
            }
            self.lock().writing = false;
            self.changed.notify_waiters();
        }
    }

    fn take(&self) -> VecDeque<(Stream, Vec<u8>)> {
        let mut queue = self.lock();
        while queue.chunks.is_empty() {
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        mem::take(&mut queue.chunks)
    }

    /// A panic elsewhere leaves the queue whole: it changes in single steps.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all, also to a stream that somebody else made non-blocking. (`io::stdout` buffers, and
/// may drop what it buffered when the descriptor would block.)
fn write(stream: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(&stream, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EAGAIN) => wait_writable(&stream),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
