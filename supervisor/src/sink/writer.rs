//! The thread that writes to stdout, stderr and report files, behind a queue that is bounded in
//! bytes: a reader that has stopped, or Ctrl-S, never stops supervision. The streams stay blocking,
//! because the supervisor shares them with the process that started it. A run without jobs goes on
//! when a file cannot be written, because its output is a log. When the queue is full,
//! messages and output of workers are dropped and counted. Outcomes are never dropped: the run
//! starts no more jobs until they have room.

use std::{
    collections::VecDeque,
    io, mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
};

use nix::errno::Errno;
use serde::Serialize;
use tokio::sync::Notify;

use super::{
    chunk::{Chunk, Content, Pieces, Target},
    outages::Outages,
    reports::ReportFile,
    status_line::StatusLine,
};
use process::descriptors::{write, write_over};

/// The queue has room for output of workers while it holds fewer bytes than this.
const ROOM_BYTES: usize = 256 << 10;
/// The most bytes in the queue that may be dropped; more are dropped and counted.
const DROPPABLE_BYTES_MAX: usize = 4 << 20;
/// The largest buffer that is used again after it was written.
const SPARE_BYTES_MAX: usize = 1 << 20;
/// The stack of the thread, in bytes.
const STACK_BYTES: usize = 64 << 10;

/// One of the two streams that a program writes to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Standard output: data.
    Stdout,
    /// Standard error: messages.
    Stderr,
}

impl Stream {
    /// The stream with this number.
    #[must_use]
    pub fn of(number: u8) -> Self {
        if number == 1 { Self::Stdout } else { Self::Stderr }
    }

    /// The number of the stream: 1 for stdout, 2 for stderr.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::Stdout => 1,
            Self::Stderr => 2,
        }
    }
}

/// What the thread could not write to. stderr is not among them: there is nowhere to report it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WriteFailure {
    /// stdout, because its reader has closed it.
    Closed,
    /// stdout, with this error number.
    Failed(i32),
    /// The report with this index, with this error number.
    Report(usize, i32),
}

/// The queue in front of the thread.
#[derive(Debug)]
pub struct Writer {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Whether what cannot be written is dropped, rather than a failure.
    is_log: bool,
    queue: Mutex<Queue>,
    /// Wakes the thread when a chunk arrives.
    filled: Condvar,
    /// Wakes the loop when a chunk is written or a write fails.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    chunks: VecDeque<Chunk>,
    bytes: usize,
    /// The bytes among them that may be dropped.
    droppable_bytes: usize,
    /// The thread has taken chunks that it has not written yet.
    writing: bool,
    /// The thread waits; otherwise nobody needs to wake it.
    waiting: bool,
    /// The empty buffer of a chunk that was written.
    spare: Vec<u8>,
    /// The new last line of the terminal, until the thread has taken it.
    status: Option<Vec<u8>>,
    dropped_bytes: u64,
    /// The number of chunks that were ever queued.
    queued: u64,
    /// How many of them, from the first on, were written without a failure.
    written: u64,
    failure: Option<WriteFailure>,
}

impl Writer {
    /// Starts the thread. It writes these report files as well, which have names for messages. In a
    /// log, what cannot be written is dropped and counted, except for a closed stdout.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn open(reports: Vec<ReportFile>, is_log: bool) -> io::Result<Self> {
        let shared = Arc::new(Shared { is_log, ..Shared::default() });
        let thread = Arc::clone(&shared);
        // Never joined: a write may block for ever, and the thread ends with the process.
        thread::Builder::new()
            .name("writer".into())
            .stack_size(STACK_BYTES)
            .spawn(move || thread.write_all(&reports))?;
        Ok(Self { shared })
    }

    /// Queues bytes that may be dropped. Never waits; beyond the limit they are dropped and counted.
    pub fn push(&self, stream: Stream, bytes: Vec<u8>) {
        if !bytes.is_empty() {
            let (target, content) = (Target::Stream(stream), Content::Bytes(bytes));
            self.shared.add(Chunk { target, content, is_droppable: true });
        }
    }

    /// Queues bytes that must not be lost, however many they are, and leaves an empty buffer in their
    /// place. Never waits. Callers must produce no more while there is no [room](Self::has_room).
    ///
    /// The bytes are dropped and counted only if stdout has failed.
    pub fn deliver(&self, stream: Stream, bytes: &mut Vec<u8>) {
        self.deliver_to(Target::Stream(stream), bytes);
    }

    /// Queues bytes that are too long for memory, on the same terms.
    pub(super) fn deliver_long(&self, stream: Stream, pieces: Box<dyn Pieces>) {
        let (target, content) = (Target::Stream(stream), Content::Long(pieces));
        self.shared.add(Chunk { target, content, is_droppable: false });
    }

    /// Queues bytes for the report with this index; none are lost.
    pub(super) fn report(&self, number: usize, bytes: &mut Vec<u8>) {
        self.deliver_to(Target::Report(number), bytes);
    }

    /// Overwrites the beginning of a report, if it is a regular file.
    pub(super) fn report_head(&self, number: usize, mut bytes: Vec<u8>) {
        self.deliver_to(Target::Head(number), &mut bytes);
    }

    fn deliver_to(&self, target: Target, bytes: &mut Vec<u8>) {
        if !bytes.is_empty() {
            let content = Content::Bytes(mem::take(bytes));
            let chunk = Chunk { target, content, is_droppable: false };
            *bytes = self.shared.add(chunk);
        }
    }

    /// Sets the last line of the terminal, which stays below everything that is written.
    pub fn set_status(&self, line: String) {
        let mut queue = self.shared.lock();
        queue.status = Some(line.into_bytes());
        queue.waiting = false;
        self.shared.filled.notify_one();
    }

    /// Whether the queue has room for output of workers.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.lock().bytes < ROOM_BYTES
    }

    /// Waits until the queue has room for output of workers.
    pub async fn room(&self) {
        self.until(|queue| (queue.bytes < ROOM_BYTES).then_some(())).await;
    }

    /// Waits until every chunk was written or has failed.
    pub async fn flushed(&self) {
        let is_done =
            |queue: &Queue| queue.chunks.is_empty() && queue.status.is_none() && !queue.writing;
        self.until(|queue| is_done(queue).then_some(())).await;
    }

    /// The number of chunks that were ever queued.
    #[must_use]
    pub fn queued(&self) -> u64 {
        self.shared.lock().queued
    }

    /// The number of chunks that were written, up to the first failure.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.shared.lock().written
    }

    /// Waits until this many chunks were written.
    pub async fn until_written(&self, chunks: u64) {
        self.until(|queue| (queue.written >= chunks).then_some(())).await;
    }

    /// Waits for the first failure.
    pub async fn failed(&self) -> WriteFailure {
        self.until(|queue| queue.failure).await
    }

    /// The first failure, if any.
    #[must_use]
    pub fn failure(&self) -> Option<WriteFailure> {
        self.shared.lock().failure
    }

    /// The number of bytes that were dropped so far.
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
            // Enabled before the check, so that no change in between is missed.
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
        let length = chunk.content.bytes();
        let is_lost = chunk.target == Target::Stream(Stream::Stdout)
            && matches!(queue.failure, Some(WriteFailure::Closed | WriteFailure::Failed(_)));
        if is_lost || chunk.is_droppable && queue.droppable_bytes + length > DROPPABLE_BYTES_MAX {
            queue.dropped_bytes += length as u64;
            return Vec::new();
        }
        queue.queued += 1;
        queue.bytes += length;
        queue.droppable_bytes += if chunk.is_droppable { length } else { 0 };
        queue.chunks.push_back(chunk);
        if mem::take(&mut queue.waiting) {
            self.filled.notify_one();
        }
        mem::take(&mut queue.spare)
    }

    /// The main function of the thread.
    fn write_all(&self, reports: &[ReportFile]) {
        let (mut status, mut outages) = (StatusLine::default(), Outages::default());
        loop {
            for mut chunk in self.take(&mut status) {
                let (target, length) = (chunk.target, chunk.content.bytes());
                let result = chunk.content.write(|bytes| {
                    if let Target::Stream(stream) = target {
                        let _ = write(io::stderr(), status.before(stream, bytes));
                    }
                    match target {
                        Target::Stream(Stream::Stdout) => write(io::stdout(), bytes),
                        Target::Stream(Stream::Stderr) => write(io::stderr(), bytes),
                        Target::Report(number) => write(reports[number].file(), bytes),
                        Target::Head(number) => write_over(reports[number].file(), bytes),
                    }
                });
                if self.is_log
                    && let Some(text) = outages.note(&chunk, result, reports)
                {
                    let _ = write(io::stderr(), status.before(Stream::Stderr, text.as_bytes()));
                    let _ = write(io::stderr(), text.as_bytes());
                }
                self.written(chunk, length, result);
                self.changed.notify_waiters();
            }
            let _ = write(io::stderr(), &status.after());
            self.lock().writing = false;
            self.changed.notify_waiters();
        }
    }

    /// Accounts for a chunk of this length.
    fn written(&self, chunk: Chunk, length: usize, result: nix::Result<()>) {
        let Chunk { target, content, is_droppable } = chunk;
        let mut queue = self.lock();
        queue.bytes -= length;
        queue.droppable_bytes -= if is_droppable { length } else { 0 };
        let failure = result.err().and_then(|error| match target {
            // There is nowhere to report that stderr failed.
            Target::Stream(Stream::Stderr) => None,
            Target::Stream(Stream::Stdout) => {
                queue.dropped_bytes += length as u64;
                match error {
                    Errno::EPIPE => Some(WriteFailure::Closed),
                    _ if self.is_log => None,
                    error => Some(WriteFailure::Failed(error as i32)),
                }
            }
            Target::Report(_) | Target::Head(_) if self.is_log => {
                queue.dropped_bytes += length as u64;
                None
            }
            Target::Report(number) | Target::Head(number) => {
                Some(WriteFailure::Report(number, error as i32))
            }
        });
        queue.failure = queue.failure.or(failure);
        queue.written += u64::from(queue.failure.is_none());
        if let Content::Bytes(mut bytes) = content
            && (queue.spare.capacity()..=SPARE_BYTES_MAX).contains(&bytes.capacity())
        {
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

    /// Locks the queue. A poisoned lock is fine, because every change of the queue is one step.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
impl Writer {
    /// A writer without a thread.
    pub(crate) fn idle() -> Self {
        Self { shared: Arc::default() }
    }

    /// Does the thread's work, and returns what it would have written.
    pub(crate) fn write_queued(&self) -> Vec<u8> {
        let mut written = Vec::new();
        for mut chunk in self.shared.take(&mut StatusLine::default()) {
            let length = chunk.content.bytes();
            let result = chunk.content.write(|bytes| {
                written.extend_from_slice(bytes);
                Ok(())
            });
            self.shared.written(chunk, length, result);
        }
        written
    }
}

#[cfg(test)]
mod tests;
