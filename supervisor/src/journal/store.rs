//! How do records get into the file? Each batch in one transaction, with what should then be there
//! beside it.
//!
//! Nothing that failed is tried again: an fsync that failed may have dropped what it was for, and
//! the next one would say that all is well.

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
    Error, Record, Run, Sync,
    append::{Books, append},
    lock::Lock,
    open::{put_run, set_mode},
    recorded::Stopped,
    sent::Ranges,
};

/// From so many pages on the log is put into the file: each page once, however often it is in the
/// log, so that rarely is better than often.
const LOG_PAGES_MAX: i32 = 4096;

/// A journal that is being written.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    // Closed before the lock is let go.
    connection: Connection,
    books: Books,
    run: Option<Run>,
    /// The pages of the log, as of the last commit.
    log_pages: Arc<AtomicI32>,
    /// A write failed: there is no other.
    has_failed: bool,
    _lock: Lock,
}

/// How a run ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ending {
    /// When, since 1970.
    pub at: Duration,
    /// With which exit status.
    pub status: u8,
}

impl Store {
    pub(super) fn new(
        path: &Path,
        mut connection: Connection,
        lock: Lock,
        books: Books,
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
        Ok(Self { path, connection, books, run: None, log_pages, has_failed: false, _lock: lock })
    }

    pub(super) fn sync(&self) -> Sync {
        self.books.sync
    }

    pub(super) fn sent(&self) -> &Ranges {
        &self.books.sent
    }

    /// Records a run that begins, and more in the same transaction.
    pub(super) fn begin(
        &mut self,
        run: Run,
        more: impl FnOnce(&Connection, &mut Books) -> Result<(), Stopped>,
    ) -> Result<(), Error> {
        self.transact(|connection, books| {
            books.run = run.number;
            books.totals.runs = run.number;
            put_run(connection, books, &run)?;
            more(connection, books)
        })?;
        self.run = Some(run);
        // What is in the log is lost with the log, and as much as is behind a rotten bit of it:
        // no more than this run.
        self.checkpoint(CheckpointMode::TRUNCATE)
    }

    /// Commits these records: all of them, or in case of an error none, and no others ever.
    ///
    /// # Errors
    /// What the system says.
    pub fn append<'a>(
        &mut self,
        records: impl IntoIterator<Item = &'a Record>,
    ) -> Result<(), Error> {
        self.transact(|connection, books| append(connection, books, records))?;
        if self.log_pages.load(Ordering::Relaxed) >= LOG_PAGES_MAX {
            self.checkpoint(CheckpointMode::PASSIVE)?;
        }
        Ok(())
    }

    /// Records how the run ended, and leaves one file that holds everything.
    ///
    /// # Errors
    /// What the system says; all that was committed is kept.
    pub fn close(mut self, ending: Ending) -> Result<(), Error> {
        let run = self.run.take().map(|run| {
            let (ended, status) = (Some(ending.at), Some(ending.status));
            Run { ended, status, ..run }
        });
        if let Some(run) = run {
            self.transact(|connection, books| Ok(put_run(connection, books, &run)?))?;
        }
        self.checkpoint(CheckpointMode::TRUNCATE)?;
        // Without a log the file can be read wherever it is taken, and reading leaves nothing
        // beside it. While somebody reads it keeps the log.
        let unlogged = self
            .connection
            .busy_timeout(Duration::ZERO)
            .and_then(|()| set_mode(&self.connection, "DELETE"));
        self.unless_read(unlogged.map(drop))
    }

    /// As if the disk had no room for more.
    #[cfg(test)]
    pub(super) fn fill_disk(&self) {
        self.connection.pragma_update(None, "max_page_count", 1).unwrap();
    }

    fn transact(
        &mut self,
        fill: impl FnOnce(&Connection, &mut Books) -> Result<(), Stopped>,
    ) -> Result<(), Error> {
        if self.has_failed {
            return Err(Error::Over { path: self.path.clone() });
        }
        let (connection, books) = (&self.connection, &mut self.books);
        let execute = |sql| -> Result<(), rusqlite::Error> {
            connection.prepare_cached(sql)?.raw_execute().map(drop)
        };
        let transact = || {
            execute("BEGIN IMMEDIATE")?;
            fill(connection, books)?;
            books.put_totals(connection)?;
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

    /// What cannot be done while somebody reads is left for later.
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
