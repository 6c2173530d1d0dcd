//! Who writes to stdout and stderr? A thread behind a queue bounded in bytes, so that a reader
//! that has stopped, or Ctrl-S, never stops supervision. The streams themselves stay blocking:
//! they are shared with whoever started us. What is said is dropped when the queue is full;
//! outcomes never are: whoever has them stops making more.

use std::{
    collections::VecDeque,
    fs::File,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::errno::Errno;
use serde::Serialize;
use tokio::sync::Notify;

use super::status_line::StatusLine;
use process::descriptors::{write, write_over};

/// While fewer bytes wait, there is room for a worker's output.
const ROOM_BYTES: usize = 256 << 10;
/// What may be dropped is queued up to this many bytes, and then dropped and counted.
const TALK_BYTES_MAX: usize = 4 << 20;
/// A written chunk of up to this size is used again.
const SPARE_BYTES_MAX: usize = 1 << 20;
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
    /// So could not this report; the error number.
    Report(usize, i32),
}

/// The queue in front of the thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Something came.
    filled: Condvar,
    /// Something was written, or stdout failed.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// Those of them that may be dropped.
    talk_bytes: usize,
    /// Taken and not yet written.
    writing: bool,
    /// Whether the thread waits: else there is no need to wake it.
    waiting: bool,
    /// An empty buffer of a chunk that was written.
    spare: Vec<u8>,
    /// What the terminal's last line shall be, until the thread has seen it.
    status: Option<Vec<u8>>,
    dropped_bytes: u64,
    /// Chunks that ever came, and how many of the first of them were written without fail.
    queued: u64,
    written: u64,
    failure: Option<Failure>,
}

/// Where a chunk goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Target {
    Stream(Stream),
    /// This report.
    Report(usize),
    /// The beginning of this report, where it can be written over.
    Head(usize),
}

#[derive(Debug)]
struct Chunk {
    target: Target,
    bytes: Vec<u8>,
    is_talk: bool,
}

impl Writer {
    /// Starts the thread, which also writes these reports.
    ///
    /// # Errors
    /// No thread to be had.
    pub fn open(reports: Vec<File>) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        // Never joined: it may hang in a write for as long as a reader likes, and ends with us.
        thread::Builder::new()
            .name("writer".into())
            .stack_size(STACK_BYTES)
            .spawn(move || theirs.write_all(&reports))?;
        Ok(Self { shared })
    }

    /// Queues bytes; never waits. Beyond the bound they are dropped, and counted.
    pub fn push(&self, stream: Stream, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            self.shared.add(Chunk { target: Target::Stream(stream), bytes, is_talk: true });
        }
    }

    /// Queues bytes that must not be lost, however many; never waits. An empty buffer takes their
    /// place. Whoever has them makes no more while there is no [room](Self::has_room).
    ///
    /// Only where stdout has failed are they dropped, and counted.
    pub fn deliver(&self, stream: Stream, bytes: &mut Vec<u8>) {
        self.deliver_to(Target::Stream(stream), bytes);
    }

    /// The same, for the report of this number.
    pub(super) fn report(&self, number: usize, bytes: &mut Vec<u8>) {
        self.deliver_to(Target::Report(number), bytes);
    }

    /// Writes over the beginning of a report, if it is a file in which that can be done.
    pub(super) fn report_head(&self, number: usize, mut bytes: Vec<u8>) {
        self.deliver_to(Target::Head(number), &mut bytes);
    }

    fn deliver_to(&self, target: Target, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() {
            let chunk = Chunk { target, bytes: mem::take(bytes), is_talk: false };
            *bytes = self.shared.add(chunk);
        }
    }

    /// What the terminal's last line shall be from now on: below all that is written.
    pub fn set_status(&self, line: String) {
        let mut queue = self.shared.lock();
        queue.status = Some(line.into_bytes());
        queue.waiting = false;
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
        let is_done =
            |queue: &Queue| queue.chunks.is_empty() && queue.status.is_none() && !queue.writing;
        self.until(|queue| is_done(queue).then_some(())).await;
    }

    /// How many chunks were ever queued.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.shared.lock().queued
    }

    /// How many of these were written: the first ones, up to the first that could not be.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.lock().written
    }

    /// Waits until so many are.
    pub async fn until_written(&self, chunks: u64) {
        self.until(|queue| (queue.written >= chunks).then_some(())).await;
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
    fn add(&self, chunk: Chunk) -> Vec<u8> {
        let mut queue = self.lock();
        let length = chunk.bytes.len();
        let is_lost = chunk.target == Target::Stream(Stream::Stdout)
            && matches!(queue.failure, Some(Failure::Closed | Failure::Failed(_)));
        if is_lost || chunk.is_talk && queue.talk_bytes + length > TALK_BYTES_MAX {
            queue.dropped_bytes += length as u64;
            return Vec::new();
        }
        queue.queued += 1;
        queue.bytes += length;
        queue.talk_bytes += if chunk.is_talk { length } else { 0 };
        queue.chunks.push_back(chunk);
        if mem::take(&mut queue.waiting) {
            self.filled.notify_one();
        }
        mem::take(&mut queue.spare)
    }

    /// The thread: takes all there is, writes it, and waits for more.
    fn write_all(&self, reports: &[File]) {
        let mut status = StatusLine::default();
        loop {
            for chunk in self.take(&mut status) {
                if let Target::Stream(stream) = chunk.target {
                    let _ = write(io::stderr(), status.before(stream, &chunk.bytes));
                }
                let result = match chunk.target {
                    Target::Stream(Stream::Stdout) => write(io::stdout(), &chunk.bytes),
                    Target::Stream(Stream::Stderr) => write(io::stderr(), &chunk.bytes),
                    Target::Report(number) => write(&reports[number], &chunk.bytes),
                    Target::Head(number) => write_over(&reports[number], &chunk.bytes),
                };
                self.written(chunk, result);
                self.changed.notify_waiters();
            }
            let _ = write(io::stderr(), &status.after());
            self.lock().writing = false;
            self.changed.notify_waiters();
        }
    }

    fn written(&self, chunk: Chunk, result: nix::Result<()>) {
        let Chunk { target, mut bytes, is_talk } = chunk;
        let mut queue = self.lock();
        queue.bytes -= bytes.len();
        queue.talk_bytes -= if is_talk { bytes.len() } else { 0 };
        let failure = result.err().and_then(|error| match target {
            // There is nowhere to say that stderr failed.
            Target::Stream(Stream::Stderr) => None,
            Target::Stream(Stream::Stdout) => {
                queue.dropped_bytes += bytes.len() as u64;
                Some(match error {
                    Errno::EPIPE => Failure::Closed,
                    error => Failure::Failed(error as i32),
                })
            }
            Target::Report(number) | Target::Head(number) => {
                Some(Failure::Report(number, error as i32))
            }
        });
        queue.failure = queue.failure.or(failure);
        queue.written += u64::from(queue.failure.is_none());
        if (queue.spare.capacity()..=SPARE_BYTES_MAX).contains(&bytes.capacity()) {
            bytes.clear();
            queue.spare = bytes;
        }
    }

    fn take(&self, status: &mut StatusLine) -> VecDeque<Chunk> {
        let mut queue = self.lock();
        while queue.chunks.is_empty() && queue.status.is_none() {
            queue.waiting = true;
            queue = self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.waiting = false;
        queue.writing = true;
        if let Some(line) = queue.status.take() {
            status.set(line);
        }
        mem::take(&mut queue.chunks)
    }

    /// A panic elsewhere leaves the queue whole: it changes in single steps.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Writer {
    /// One without a thread.
    pub(super) fn idle() -> Self {
        Self { shared: Arc::default() }
    }

    /// Does the thread's work, and returns what it would have written.
    pub(super) fn write_queued(&self) -> Vec<u8> {
        let mut written = Vec::new();
        for chunk in self.shared.take(&mut StatusLine::default()) {
            written.extend_from_slice(&chunk.bytes);
            self.shared.written(chunk, Ok(()));
        }
        written
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn talk_is_dropped_beyond_the_bound_and_outcomes_are_not() {
        let writer = Writer::idle();
        let chunk = vec![0; TALK_BYTES_MAX / 2];
        let deliver = |count: usize| {
            (0..count).for_each(|_| writer.deliver(Stream::Stdout, &mut chunk.clone()));
        };
        deliver(3);
        (0..3).for_each(|_| writer.push(Stream::Stderr, chunk.clone()));
        deliver(3);
        assert_eq!(writer.dropped_bytes(), chunk.len() as u64);
        assert_eq!(writer.shared.take(&mut StatusLine::default()).len(), 8);
        assert!(!writer.has_room(), "what is being written still counts");
    }

    #[test]
    fn a_buffer_that_was_written_is_used_again() {
        let writer = Writer::idle();
        let mut bytes = Vec::with_capacity(1000);
        bytes.push(b'x');
        writer.deliver(Stream::Stdout, &mut bytes);
        assert_eq!(bytes.capacity(), 0);
        assert_eq!(writer.write_queued(), b"x");
        bytes.push(b'y');
        writer.deliver(Stream::Stdout, &mut bytes);
        assert!(bytes.is_empty() && bytes.capacity() == 1000);
    }

    #[test]
    fn what_stdout_no_longer_takes_is_counted() {
        let writer = Writer::idle();
        writer.push(Stream::Stdout, vec![0; 3]);
        for chunk in writer.shared.take(&mut StatusLine::default()) {
            writer.shared.written(chunk, Err(Errno::EPIPE));
        }
        writer.deliver(Stream::Stdout, &mut vec![0; 4]);
        writer.push(Stream::Stderr, vec![0; 5]);
        assert_eq!((writer.failure(), writer.dropped_bytes()), (Some(Failure::Closed), 7));
        assert_eq!(writer.shared.take(&mut StatusLine::default()).len(), 1);
    }
}
