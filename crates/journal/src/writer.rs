//! The thread that writes a journal. A sync may take long, and the run loop must not block, so the
//! thread owns the store. Records wait in a queue that is bounded in number and bytes; all records
//! that wait share a commit.
//!
//! After the first error nothing more is committed, and no later record is reported as committed.

use std::{
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::{
    durability::Sync,
    error::Error,
    record::Record,
    store::{Ending, Store},
};

/// Longest time that a record waits for others to share its commit.
pub const GATHER: Duration = Duration::from_millis(10);
/// Number of waiting records that are committed at once.
pub const GATHER_RECORDS: usize = 4096;
/// Size of waiting records that are committed at once.
const GATHER_BYTES: usize = 1 << 20;
/// Number of waiting records from which on the queue is full.
const ROOM_RECORDS: usize = 4 * GATHER_RECORDS;
/// Size of waiting records from which on the queue is full.
const ROOM_BYTES: usize = 4 * GATHER_BYTES;

/// Number of records that were submitted or committed since the run began.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub struct Sequence(pub u64);

/// The error after which nothing is recorded.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Failure(Arc<Error>);

/// Handle of the run loop on the thread that writes the journal.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    /// Signalled when the thread has something to do.
    filled: Condvar,
    /// Signalled after a commit, a failure, or the end of the thread.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    batches: Vec<Vec<Record>>,
    records: usize,
    bytes: usize,
    /// When the first waiting record arrived.
    since: Option<Instant>,
    /// Whether to commit the waiting records without gathering more.
    at_once: bool,
    submitted: u64,
    committed: u64,
    close: Option<Close>,
    failure: Option<Failure>,
    is_over: bool,
}

/// How the journal is closed.
#[derive(Clone, Copy, Debug)]
enum Close {
    Ended(Ending),
    /// Without an end of the run, as after a crash.
    Dropped,
}

impl Journal {
    /// Starts a thread that owns the store.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn new(store: Store) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        // Never joined: a sync may block it for any time, and it ends with the process.
        thread::Builder::new().name("journal".into()).spawn(move || theirs.write_all(store))?;
        Ok(Self { shared })
    }

    /// Submits records, which are committed together. Never blocks: the caller must stop producing
    /// records while there is no [room](Self::has_room).
    pub fn submit(&self, records: Vec<Record>) -> Sequence {
        let mut queue = self.shared.lock();
        queue.submitted += records.len() as u64;
        let sequence = Sequence(queue.submitted);
        if records.is_empty() || queue.failure.is_some() {
            return sequence;
        }
        let was_empty = queue.since.is_none();
        queue.since.get_or_insert_with(Instant::now);
        queue.records += records.len();
        queue.bytes += records.iter().map(Record::bytes).sum::<usize>();
        queue.batches.push(records);
        // A thread that gathers records wakes up by itself. Waking it for each job would cost more
        // than recording the job.
        let wakes = was_empty || queue.is_much();
        drop(queue);
        if wakes {
            self.shared.filled.notify_one();
        }
        sequence
    }

    /// Commits all submitted records without gathering more.
    pub fn flush(&self) {
        self.shared.lock().at_once = true;
        self.shared.filled.notify_one();
    }

    /// Returns how many records are committed and, except with [`Sync::Off`], synced.
    #[must_use]
    pub fn committed(&self) -> Sequence {
        Sequence(self.shared.lock().committed)
    }

    /// Waits until this many records are committed.
    ///
    /// # Errors
    /// Writing failed.
    pub async fn until(&self, sequence: Sequence) -> Result<(), Failure> {
        self.wait(|queue| (queue.committed >= sequence.0).then_some(())).await
    }

    /// Waits until more than this many records are committed, and returns the new number.
    ///
    /// # Errors
    /// Writing failed.
    pub async fn beyond(&self, sequence: Sequence) -> Result<Sequence, Failure> {
        let committed = |queue: &Queue| Sequence(queue.committed);
        self.wait(|queue| Some(committed(queue)).filter(|now| *now > sequence)).await
    }

    /// Whether more records may be submitted.
    #[must_use]
    pub fn has_room(&self) -> bool {
        self.shared.lock().has_room()
    }

    /// Waits until more records may be submitted.
    ///
    /// # Errors
    /// Writing failed.
    pub async fn room(&self) -> Result<(), Failure> {
        self.wait(|queue| (queue.failure.is_none() && queue.has_room()).then_some(())).await
    }

    /// Returns the error after which nothing is recorded, if there was one.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.shared.lock().failure.clone()
    }

    /// Commits all submitted records, records how the run ended, and closes the file.
    ///
    /// # Errors
    /// Writing failed.
    pub async fn close(self, ending: Ending) -> Result<(), Failure> {
        self.shared.close(Close::Ended(ending));
        self.shared.until(|queue| queue.is_over.then_some(())).await;
        self.failure().map_or(Ok(()), Err)
    }

    async fn wait<T>(&self, holds: impl Fn(&Queue) -> Option<T>) -> Result<T, Failure> {
        let held = |queue: &Queue| holds(queue).map(Ok);
        let failed = |queue: &Queue| queue.failure.clone().map(Err);
        self.shared.until(|queue| held(queue).or_else(|| failed(queue))).await
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.close(Close::Dropped);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close(&self, close: Close) {
        self.lock().close.get_or_insert(close);
        self.filled.notify_one();
    }

    async fn until<T>(&self, holds: impl Fn(&Queue) -> Option<T>) -> T {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Enabled before the check, so that no change between the check and the wait is missed.
            changed.as_mut().enable();
            if let Some(held) = holds(&self.lock()) {
                return held;
            }
            changed.await;
        }
    }

    /// Runs the thread until the journal is closed or a write fails.
    fn write_all(&self, mut store: Store) {
        let sync = store.sync();
        loop {
            let (batches, close) = self.next(sync);
            let count: usize = batches.iter().map(Vec::len).sum();
            let mut done = Ok(());
            if count > 0 {
                done = store.append(batches.iter().flatten());
            }
            if done.is_ok() {
                self.lock().committed += count as u64;
                self.changed.notify_waiters();
            }
            drop(batches);
            let is_over = close.is_some() || done.is_err();
            if let (Ok(()), Some(Close::Ended(ending))) = (&done, close) {
                done = store.close(ending);
                return self.end(done);
            }
            if is_over {
                drop(store);
                return self.end(done);
            }
        }
    }

    fn end(&self, done: Result<(), Error>) {
        let mut queue = self.lock();
        queue.failure = done.err().map(|error| Failure(Arc::new(error)));
        queue.batches = Vec::new();
        (queue.records, queue.bytes, queue.is_over) = (0, 0, true);
        drop(queue);
        self.changed.notify_waiters();
    }

    /// Waits for the next records to commit, or for the end.
    fn next(&self, sync: Sync) -> (Vec<Vec<Record>>, Option<Close>) {
        let mut queue = self.lock();
        loop {
            let waited = queue.since.map(|since| since.elapsed());
            let is_due = queue.is_due(sync) || waited.is_some_and(|waited| waited >= GATHER);
            if queue.close.is_some() || queue.since.is_some() && is_due {
                queue.since = None;
                queue.at_once = false;
                (queue.records, queue.bytes) = (0, 0);
                return (std::mem::take(&mut queue.batches), queue.close);
            }
            queue = match waited {
                None => self.filled.wait(queue).unwrap_or_else(PoisonError::into_inner),
                Some(waited) => {
                    let rest = GATHER.saturating_sub(waited);
                    let woken = self.filled.wait_timeout(queue, rest);
                    woken.unwrap_or_else(PoisonError::into_inner).0
                }
            };
        }
    }
}

impl Queue {
    fn is_due(&self, sync: Sync) -> bool {
        sync == Sync::Always || self.at_once || self.is_much()
    }

    fn is_much(&self) -> bool {
        self.records >= GATHER_RECORDS || self.bytes >= GATHER_BYTES
    }

    fn has_room(&self) -> bool {
        self.records < ROOM_RECORDS && self.bytes < ROOM_BYTES
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
