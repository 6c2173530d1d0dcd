//! What does a journal say to whoever only looks? The same as to its writer, as of one moment,
//! whether it is being written or not. Nothing of the file changes.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags, ffi};

use super::{
    Attempted, Error, Recorded, Run, Settled, State,
    checksum::Values,
    error::Damage,
    identity::Digest,
    lock::Lock,
    open,
    recorded::{self, Stopped},
    records::NOT_BEGUN,
    schema::{ATTEMPTS, JOBS, TABLES, Table},
};
use pool::job::{JobEnd, Outcome, Payload};

/// So many jobs are read at once.
const AT_ONCE: u64 = 1000;
/// What is wrong is told up to so many times.
const DAMAGE_MAX: usize = 100;
const COUNT_OBJECTS: &str = "SELECT count(*) FROM sqlite_schema";
const CHECK: &str = "PRAGMA integrity_check(100)";

/// A journal that is looked at.
#[derive(Debug)]
pub struct Reader {
    path: PathBuf,
    connection: Connection,
    is_live: bool,
}

/// Whether nobody who only reads can make sense of it.
fn is_half_changed(connection: &Connection) -> bool {
    let found = connection.query_row(COUNT_OBJECTS, [], |_| Ok(()));
    let code = found.err().and_then(|error| error.sqlite_error().map(|error| error.extended_code));
    code == Some(ffi::SQLITE_READONLY_ROLLBACK)
}

/// What is recorded of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Its number.
    pub job: u64,
    /// The run in which it was recorded first.
    pub run: u64,
    /// Where it stood in the input of that run.
    pub position: u64,
    /// What it is known by.
    pub digest: Digest,
    /// What was to be done.
    pub payload: Payload,
    /// All its attempts in all runs, in order.
    pub attempts: Vec<Attempted>,
}

impl Account {
    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.attempts.last() {
            None => State::Waiting,
            Some(last) if !last.has_ended => State::Running,
            Some(last) => match last.settles {
                None => State::Waiting,
                Some(Settled::Ok(_)) => State::Ok,
                Some(Settled::Failed) => State::Failed,
                Some(Settled::Crashed) => State::Crashed,
            },
        }
    }

    /// How it ended, as it was told when it did; `None` where it has not.
    #[must_use]
    pub fn into_outcome(self) -> Option<Outcome> {
        self.state().is_settled().then(|| self.into_outcome_or(JobEnd::NotRun))
    }

    /// The same, with another end where it has none.
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
    /// Opens a journal to look at it as it is now.
    ///
    /// # Errors
    /// It is no journal, or the system refused something.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let is_live = Lock::is_held(path);
        let connection = open::connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        if is_half_changed(&connection) {
            // Its writer died as it made the file, or closed it: whoever may write takes that back.
            let writer = open::connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
            let _ = writer.query_row(COUNT_OBJECTS, [], |_| Ok(()));
        }
        open::check_kind(path, &connection)?;
        let reader = Self { path: path.to_owned(), connection, is_live };
        // What is read first says as of when all is.
        reader.tried(reader.connection.execute_batch("BEGIN; SELECT 1 FROM totals"))?;
        Ok(reader)
    }

    /// Opens a journal to look at it as it is each time, for as long as it is being written.
    ///
    /// # Errors
    /// As above.
    pub fn follow(path: &Path) -> Result<Self, Error> {
        let reader = Self::open(path)?;
        // Whoever looks at one moment for long keeps the log from being put into the file.
        reader.tried(reader.connection.execute_batch("COMMIT"))?;
        Ok(reader)
    }

    /// Whether a supervisor was writing to it.
    #[must_use]
    pub fn is_live(&self) -> bool {
        self.is_live
    }

    /// The runs, and where each job stands, with each row checked.
    ///
    /// # Errors
    /// Damage, with the row named.
    pub fn read(&self) -> Result<(Vec<Run>, Recorded), Error> {
        open::read(&self.path, &self.connection)
    }

    /// What is recorded of a job; `None` where there is none of that number.
    ///
    /// # Errors
    /// Damage, with the row named.
    pub fn account(&self, job: u64) -> Result<Option<Account>, Error> {
        Ok(self.some(job, job)?.0.pop())
    }

    /// Tells of each job, in order, until told that it is enough.
    ///
    /// # Errors
    /// Damage, with the row named.
    pub fn accounts(&self, mut goes_on: impl FnMut(Account) -> bool) -> Result<(), Error> {
        let (mut first, mut attempts) = (1, 0);
        loop {
            let (accounts, rows) = self.some(first, first + AT_ONCE - 1)?;
            if accounts.is_empty() {
                // They are found by an index, whose entries have no sums.
                return self.stopped(recorded::check_attempts(&self.connection, attempts));
            }
            attempts += rows;
            first += AT_ONCE;
            if !accounts.into_iter().all(&mut goes_on) {
                return Ok(());
            }
        }
    }

    /// All jobs from `first` to `last`, and how many rows of attempts there are of them.
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

    /// Everything that is not as it was written; at most a hundred of it.
    ///
    /// # Errors
    /// It cannot be read at all.
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
        // Its own check of the tables' shape, in which our rows hang.
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
