//! Writes records to the file: each batch in one transaction, together with the totals that the
//! tables then have.
//!
//! After a failed write nothing is written again. A failed fsync may have dropped the pages that it
//! was to write, and the next fsync would succeed without them.

use std::{
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use rusqlite::{Connection, DEFAULT_NAME, wal::CheckpointMode};

use super::{
    append::{WriteState, append},
    connection::set_mode,
    durability::Sync,
    error::{Error, Stopped},
    lock::Lock,
    record::{Record, Run},
    sent::Ranges,
};

/// Length of the write-ahead log, in pages, at which a checkpoint copies it into the file. A
/// checkpoint copies each page once, however often the log has it, so rare checkpoints are cheaper.
const LOG_PAGES_MAX: i32 = 4096;

/// A journal that is open for writing.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    // Declared before the lock, so that it is closed before the lock is released.
    connection: Connection,
    state: WriteState,
    run: Option<Run>,
    /// Length of the write-ahead log after the last commit, in pages.
    log_pages: Arc<AtomicI32>,
    /// Whether a write failed; nothing is written after that.
    has_failed: bool,
    _lock: Lock,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// When the run ended, since the Unix epoch.
    pub at: Duration,
    /// Exit status of the supervisor.
    pub status: u8,
}

impl Store {
    pub(super) fn new(
        path: &Path,
        mut connection: Connection,
        lock: Lock,
        state: WriteState,
    ) -> Result<Self, Error> {
        let log_pages = Arc::new(AtomicI32::new(0));
        let theirs = Arc::clone(&log_pages);
        let hooked = connection.wal_hook(Some(move |_: &mut _, pages| {
            theirs.store(pages, Ordering::Relaxed);
            Ok(())
        }));
        if let Err(error) = hooked {
            return Err(Error::new(path, "opened", &connection, error));
        }
        let path = path.to_owned();
        Ok(Self { path, connection, state, run: None, log_pages, has_failed: false, _lock: lock })
    }

    pub(super) fn sync(&self) -> Sync {
        self.state.sync
    }

    pub(super) fn sent(&self) -> &Ranges {
        &self.state.sent
    }

    /// Records that a run begins; `more` adds to the same transaction.
    pub(super) fn begin(
        &mut self,
        run: Run,
        more: impl FnOnce(&Connection, &mut WriteState) -> Result<(), Stopped>,
    ) -> Result<(), Error> {
        self.transact(|connection, state| {
            state.run = run.number;
            state.totals.runs = run.number;
            state.put_run(connection, &run)?;
            more(connection, state)
        })?;
        self.run = Some(run);
        // Damage to the log loses the commits in it. After this checkpoint, these are at most the
        // commits of this run.
        self.checkpoint(CheckpointMode::TRUNCATE)
    }

    /// Commits the records. After an error none of them are committed, and nothing is written again.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(), Error> {
        self.transact(|connection, state| append(connection, state, records))?;
        if self.log_pages.load(Ordering::Relaxed) >= LOG_PAGES_MAX {
            self.checkpoint(CheckpointMode::PASSIVE)?;
        }
        Ok(())
    }

    /// Records how the run ended, and leaves a single file without a log.
    ///
    /// # Errors
    /// The file cannot be written; everything that was committed is kept.
    pub fn close(mut self, ending: Ending) -> Result<(), Error> {
        let run = self.run.take().map(|run| {
            let (ended, status) = (Some(ending.at), Some(ending.status));
            Run { ended, status, ..run }
        });
        if let Some(run) = run {
            self.transact(|connection, state| Ok(state.put_run(connection, &run)?))?;
        }
        self.checkpoint(CheckpointMode::TRUNCATE)?;
        // Without a log the file can be copied anywhere, and readers create no files beside it. The
        // log stays if another process is reading.
        let unlogged = self
            .connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| set_mode(&self.connection, "DELETE"));
        self.unless_read(unlogged.map(drop))
    }

    /// Makes the next write fail as if the disk were full.
    #[cfg(test)]
    pub(super) fn fill_disk(&self) {
        self.connection.pragma_update(None, "max_page_count", 1).unwrap();
    }

    fn transact(
        &mut self,
        fill: impl FnOnce(&Connection, &mut WriteState) -> Result<(), Stopped>,
    ) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::Over { path: self.path.clone() });
        }
        let (connection, state) = (&self.connection, &mut self.state);
        let execute = |sql| -> Result<(), rusqlite::Error> {
            connection.prepare_cached(sql)?.raw_execute().map(drop)
        };
        let transact = || {
            execute("BEGIN IMMEDIATE")?;
            fill(connection, state)?;
            state.put_totals(connection)?;
            Ok(execute("COMMIT")?)
        };
        let done = transact();
        done.map_err(|stopped| {
            let error = Error::stopped(&self.path, "written", connection, stopped);
            self.has_failed = true;
            error
        })
    }

    fn checkpoint(&mut self, mode: CheckpointMode) -> Result<(), Error> {
        let done = self.connection.wal_checkpoint_v2(DEFAULT_NAME, mode);
        self.unless_read(done.map(drop))
    }

    /// Ignores failures that are due to a reader: the operation is repeated later.
    fn unless_read(&mut self, done: rusqlite::Result<()>) -> Result<(), Error> {
        let failed = |error| Error::new(&self.path, "written", &self.connection, error);
        match done.map_err(failed) {
            Ok(()) | Err(Error::Busy { .. }) => Ok(()),
            Err(error) => {
                self.has_failed = true;
                Err(error)
            }
        }
    }
}
