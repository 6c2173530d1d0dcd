//! Reads a journal without changing it, whether or not a supervisor is writing to it. A reader sees
//! one consistent state of the file.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, ffi};

use pool::job::{JobEnd, Outcome, Payload};

use super::{
    checksum::Values,
    connection,
    error::{Damage, Error, Stopped},
    identity::Digest,
    lock::Lock,
    open,
    path::check_readable,
    record::{Attempted, Run, Settled},
    recorded::{self, Recorded, State},
    row::NOT_BEGUN,
    schema::{ATTEMPTS, JOBS, TABLES, Table},
};

/// Number of jobs to read with one query.
const JOBS_PER_QUERY: u64 = 1000;
/// Number of damaged rows that [`Reader::verify`] reports at most.
const DAMAGE_MAX: usize = 100;
const COUNT_OBJECTS: &str = "SELECT count(*) FROM sqlite_schema";
const CHECK: &str = "PRAGMA integrity_check(100)";

/// A journal that is open for reading.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    is_live: bool,
}

/// Whether the writer died within a change that only a writable connection can roll back.
fn is_half_changed(connection: &Connection) -> bool {
    let found = connection.query_row(COUNT_OBJECTS, [], |_| Ok(()));
    let code = found.err().and_then(|error| error.sqlite_error().map(|error| error.extended_code));
    code == Some(ffi::SQLITE_READONLY_ROLLBACK)
}

/// Everything that is recorded of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Number of the job.
    pub job: u64,
    /// The run that recorded the job first.
    pub run: u64,
    /// Position of the job in the input of that run.
    pub position: u64,
    /// Identifies the content of the job.
    pub digest: Digest,
    /// Content of the job.
    pub payload: Payload,
    /// All attempts in all runs, in order.
    pub attempts: Vec<Attempted>,
}

impl Account {
    /// Returns the state of the job.
    #[must_use]
    pub fn state(&self) -> State {
        match self.attempts.last() {
            None => State::Waiting,
            Some(last) if !last.has_ended => State::Running,
            Some(last) => match last.settles {
                None => State::Unfinished,
                Some(Settled::Ok(_)) => State::Ok,
                Some(Settled::Failed) => State::Failed,
                Some(Settled::Crashed) => State::Crashed,
            },
        }
    }

    /// Returns the outcome of the job; `None` if it has none.
    #[must_use]
    pub fn into_outcome(self) -> Option<Outcome> {
        self.state().is_settled().then(|| self.into_outcome_or(JobEnd::NotRun))
    }

    /// Returns the outcome of the job, or one with this end if it has none.
    #[must_use]
    pub fn into_outcome_or(self, unsettled: JobEnd) -> Outcome {
        let settles = self.attempts.last().and_then(|last| last.settles.clone());
        let mut attempts: Vec<_> = self.attempts.into_iter().map(|tried| tried.attempt).collect();
        Outcome {
            id: self.job,
            place: self.job,
            position: self.position,
            payload: self.payload,
            end: settles.map_or(unsettled, JobEnd::from),
            last: attempts.pop(),
            earlier: attempts,
            again: false,
        }
    }

    fn read(values: &Values<'_>) -> Result<Self, Damage> {
        let digest = Digest::from_bytes(values.blob(3)?);
        Ok(Self {
            job: values.int(0)?,
            run: values.int(1)?,
            position: values.int(2)?,
            digest: digest.ok_or_else(|| values.unreadable(3))?,
            payload: Payload::copy(values.blob(4)?),
            attempts: Vec::new(),
        })
    }
}

impl Reader {
    /// Opens a journal and reads its present state until the reader is dropped.
    ///
    /// # Errors
    /// The file is no journal, or the system refused an operation.
    pub fn open(path: &Path) -> Result<Self, Error> {
        check_readable(path)?;
        let is_live = Lock::is_held(path);
        let connection = connection::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        if is_half_changed(&connection) {
            // The writer died while it created or closed the file. A writable connection rolls the
            // unfinished change back.
            let writer = connection::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let _ = writer.query_row(COUNT_OBJECTS, [], |_| Ok(()));
        }
        connection::check_kind(path, &connection)?;
        let reader = Self { path: path.to_owned(), connection, is_live };
        // The first read of the transaction decides which state all later ones see.
        reader.tried(reader.connection.execute_batch("BEGIN; SELECT 1 FROM totals"))?;
        Ok(reader)
    }

    /// Opens a journal for repeated reads, each of which sees the state at that time.
    ///
    /// # Errors
    /// The same as for [`Reader::open`].
    pub fn follow(path: &Path) -> Result<Self, Error> {
        let reader = Self::open(path)?;
        // A long read transaction would block checkpoints of the writer.
        reader.tried(reader.connection.execute_batch("COMMIT"))?;
        Ok(reader)
    }

    /// Whether a supervisor was writing to the journal when it was opened.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// Reads the runs and the state of each job, and checks every row.
    ///
    /// # Errors
    /// The journal is damaged; the error names the row.
    pub fn read(&self) -> Result<(Vec<Run>, Recorded), Error> {
        open::read(&self.path, &self.connection)
    }

    /// Reads everything about one job; `None` if there is no job with this number.
    ///
    /// # Errors
    /// The journal is damaged; the error names the row.
    pub fn account(&self, job: u64) -> Result<Option<Account>, Error> {
        Ok(self.some(job, job)?.0.pop())
    }

    /// Calls `visit` for each job in order until it returns false.
    ///
    /// # Errors
    /// The journal is damaged; the error names the row.
    pub fn accounts(&self, mut visit: impl FnMut(Account) -> bool) -> Result<(), Error> {
        let (mut first, mut attempts) = (1, 0);
        loop {
            let (accounts, rows) = self.some(first, first + JOBS_PER_QUERY - 1)?;
            if accounts.is_empty() {
                // The attempts were found by an index, whose entries have no checksums.
                return self.stopped(recorded::check_attempts(&self.connection, attempts));
            }
            attempts += rows;
            first += JOBS_PER_QUERY;
            if !accounts.into_iter().all(&mut visit) {
                return Ok(());
            }
        }
    }

    /// Reads the jobs from `first` to `last`, and counts the rows of their attempts.
    fn some(&self, first: u64, last: u64) -> Result<(Vec<Account>, u64), Error> {
        let (mut accounts, mut rows) = (Vec::<Account>::new(), 0);
        let (range, select) = ([first, last], JOBS.select_where("job BETWEEN ?1 AND ?2"));
        self.scan(&JOBS, &select, &range, |values| {
            accounts.push(Account::read(values)?);
            Ok(())
        })?;
        let select = ATTEMPTS.select_where("job BETWEEN ?1 AND ?2");
        self.scan(&ATTEMPTS, &select, &range, |values| {
            rows += 1;
            let attempted = Attempted::read(values)?;
            let place = accounts.binary_search_by_key(&attempted.job, |account| account.job);
            let account = &mut accounts[place.map_err(|_| values.unreadable(2))?];
            if values.maybe_text(10)? != Some(NOT_BEGUN) {
                account.attempts.push(attempted);
            }
            Ok(())
        })?;
        Ok((accounts, rows))
    }

    /// Checks every row and the structure of the file; returns at most a hundred damages.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn verify(&self) -> Result<Vec<Damage>, Error> {
        let mut found = Vec::new();
        for table in TABLES {
            let checked = recorded::check(&self.connection, table, DAMAGE_MAX, &mut found);
            self.tried(checked)?;
        }
        if found.is_empty() {
            match self.read().map(drop).and_then(|()| self.accounts(|_| true)) {
                Err(Error::Damaged { damage, .. }) => found.push(damage),
                done => done?,
            }
        }
        // SQLite checks the structure of the file, which the checksums of rows do not cover.
        let broken = self.connection.prepare(CHECK).and_then(|mut check| {
            let lines = check.query_map([], |row| row.get::<_, String>(0))?;
            lines.collect::<rusqlite::Result<Vec<_>>>()
        });
        match broken {
            Ok(lines) => {
                found.extend(lines.iter().filter(|line| *line != "ok").map(Damage::file));
            }
            Err(error) if recorded::is_broken(&error) => found.push(Damage::file(&error)),
            Err(error) => self.tried(Err(error))?,
        }
        Ok(found)
    }

    fn scan(
        &self,
        table: &'static Table,
        sql: &str,
        parameters: &[u64],
        each: impl FnMut(&Values<'_>) -> Result<(), Damage>,
    ) -> Result<(), Error> {
        self.stopped(recorded::scan(&self.connection, table, sql, parameters, each))
    }

    fn stopped(&self, done: Result<(), Stopped>) -> Result<(), Error> {
        done.map_err(|stopped| Error::stopped(&self.path, "read", &self.connection, stopped))
    }

    fn tried<T>(&self, done: rusqlite::Result<T>) -> Result<T, Error> {
        done.map_err(|error| Error::new(&self.path, "read", &self.connection, error))
    }
}
