//! How is a journal opened to be written to? Locked, looked at from end to end, and only then
//! begun anew.

use std::{
    borrow::Cow,
    ffi::OsString,
    path::{Path, PathBuf},
    process,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, ffi};

use super::{
    Error, Header, OnLost, Recorded, Run, State, Store, Sync,
    append::Books,
    error::Damage,
    lock::Lock,
    recorded::{self, Stopped},
    records::{Attempted, Settled, Stage, with_attempt},
    schema::{self, APPLICATION, ATTEMPTS, RUNS, VERSION},
};

/// For so long another program may hold the file.
const BUSY: Duration = Duration::from_secs(5);

/// A journal that this process alone may write to, and what it says.
#[derive(Debug)]
pub struct Opened {
    store: Store,
    runs: Vec<Run>,
    recorded: Recorded,
}

impl Opened {
    /// Opens a journal, or makes one.
    ///
    /// # Errors
    /// It is another's, or no journal, or damaged; or the system refused something.
    pub fn new(path: &Path, sync: Sync) -> Result<Self, Error> {
        let lock = Lock::take(path)?;
        let connection =
            connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let fault = |error| Error::new(path, "opened", &connection, error);
        if is_new(&connection).map_err(fault)? {
            create(&connection).map_err(fault)?;
        }
        check_kind(path, &connection)?;
        prepare(&connection, sync).map_err(fault)?;
        let (runs, recorded) = read(path, &connection)?;
        let books = Books::new(&recorded, sync);
        let store = Store::new(path, connection, lock, books)?;
        Ok(Self { store, runs, recorded })
    }

    /// The runs so far, the last one last.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// What is recorded of the jobs so far.
    #[must_use]
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// How many jobs may have been running when the supervisor died.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.recorded.open.len()
    }

    /// Records that a run begins, and that what ran in one that is over was lost.
    ///
    /// `started` is the time since 1970.
    ///
    /// # Errors
    /// What the system says.
    pub fn begin(
        self,
        header: Header,
        started: Duration,
        on_lost: OnLost,
    ) -> Result<(Store, Recorded), Error> {
        let Self { mut store, runs, mut recorded } = self;
        let run = Run {
            number: runs.len() as u64 + 1,
            started,
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            sync: store.sync().name().into(),
            header,
            ended: None,
            status: None,
        };
        store.begin(run, |connection, books| {
            let mut open: Vec<(u64, u64)> = recorded.open.drain().collect();
            open.sort_unstable();
            for (job, id) in open {
                lose(connection, books, id, on_lost)?;
                *recorded.lost.entry(job).or_default() += 1;
                let index = usize::try_from(job - 1).ok();
                if let Some(state) = index.and_then(|index| recorded.states.get_mut(index)) {
                    *state = match on_lost {
                        OnLost::Rerun => State::Waiting,
                        OnLost::Fail => State::Failed,
                    };
                }
            }
            Ok(())
        })?;
        recorded.sent = store.sent().clone();
        Ok((store, recorded))
    }
}

/// The end of this attempt will never be known.
fn lose(
    connection: &Connection,
    books: &mut Books,
    id: u64,
    on_lost: OnLost,
) -> Result<(), Stopped> {
    let settles = match on_lost {
        OnLost::Rerun => None,
        OnLost::Fail => Some(Settled::Failed),
    };
    let mut found = None;
    let select = ATTEMPTS.select_where("attempt = ?1");
    recorded::scan(connection, &ATTEMPTS, &select, &[id], |values| {
        found = Some(Attempted::read(values)?);
        Ok(())
    })?;
    let Some(Attempted { run, job, attempt, .. }) = found else { return Ok(()) };
    let stage = Stage::Ended(settles.as_ref());
    with_attempt((id, run, job), &attempt, stage, |values| {
        books.update(connection, &ATTEMPTS, values)
    })?;
    books.count_end(settles.is_some());
    if settles.is_some() {
        books.unsend(connection, job)?;
    }
    Ok(())
}

/// A connection of the kind that all of ours are.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(plain(path), flags).map_err(|cause| {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Error::failed(path.to_owned(), "opened", errno, cause)
    })?;
    let set = || {
        connection.busy_timeout(BUSY)?;
        // A checkpoint is ours to make: what fails in one that comes by itself is told nobody.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)
    };
    set().map_err(|error| Error::new(path, "opened", &connection, error))?;
    Ok(connection)
}

/// SQLite would take a name that begins so for a URI.
fn plain(path: &Path) -> Cow<'_, Path> {
    if !path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        return path.into();
    }
    let mut name = OsString::from("./");
    name.push(path);
    PathBuf::from(name).into()
}

/// Whether nothing was ever kept in it. One whose making was cut short is new, too.
fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let count = "SELECT count(*) FROM sqlite_schema";
    let objects: i64 = connection.query_row(count, [], |row| row.get(0))?;
    Ok(application == 0 && objects == 0)
}

/// Has changes written to a log ahead of the file. Where that cannot be done SQLite says nothing,
/// and goes on without.
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mode = set_mode(connection, "WAL")?;
    let text = "it has no log to write ahead of it, as on some file systems".into();
    let refused = ffi::Error::new(ffi::SQLITE_IOERR);
    (mode.as_deref() == Some("wal"))
        .then_some(())
        .ok_or(rusqlite::Error::SqliteFailure(refused, Some(text)))
}

/// Says how changes get into the file, and how they do now. The change is written, and may fail,
/// only after that was said.
pub(super) fn set_mode(connection: &Connection, mode: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode={mode}"))?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.map(|row| row.get(0)).transpose()?;
    while rows.next()?.is_some() {}
    Ok(mode)
}

fn create(connection: &Connection) -> rusqlite::Result<()> {
    log_ahead(connection)?;
    let statements: Vec<_> = schema::statements().collect();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; {};",
        statements.join("; ")
    ))?;
    Books::create(connection)?;
    connection.execute_batch("COMMIT")
}

/// Whether the file has the tables of a journal, and nothing else.
pub(super) fn check_kind(path: &Path, connection: &Connection) -> Result<(), Error> {
    let fault = |error| Error::new(path, "read", connection, error);
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    if pragma("application_id").map_err(fault)? != APPLICATION {
        let why = match is_new(connection).map_err(fault)? {
            true => "nothing was ever recorded in it",
            false => "it is an SQLite file of something else",
        };
        let why = why.into();
        return Err(Error::NotAJournal { path: path.to_owned(), why });
    }
    let version = pragma("user_version").map_err(fault)?;
    if version > VERSION {
        return Err(Error::TooNew { path: path.to_owned(), version });
    }
    let found = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid")?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let found = found().map_err(fault)?;
    if version != VERSION || !schema::statements().eq(found.iter().map(String::as_str)) {
        return Err(Error::damaged(path, Damage::file(&"its tables are not those of a journal")));
    }
    Ok(())
}

/// How it is written.
fn prepare(connection: &Connection, sync: Sync) -> rusqlite::Result<()> {
    // It is kept in the file, and somebody may have changed it.
    log_ahead(connection)?;
    let synchronous = match sync {
        Sync::Always | Sync::Batch => "FULL",
        Sync::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}

/// All that it says, each row checked.
pub(super) fn read(path: &Path, connection: &Connection) -> Result<(Vec<Run>, Recorded), Error> {
    recorded::read(connection).map_err(|stopped| Error::stopped(path, "read", connection, stopped))
}

impl Error {
    pub(super) fn stopped(
        path: &Path,
        doing: &'static str,
        connection: &Connection,
        stopped: Stopped,
    ) -> Self {
        match stopped {
            Stopped::Sqlite(error) => Self::new(path, doing, connection, error),
            Stopped::Damage(damage) => Self::damaged(path, damage),
        }
    }
}

/// The statement that puts a run into its row.
pub(super) fn put_run(
    connection: &Connection,
    books: &mut Books,
    run: &Run,
) -> rusqlite::Result<()> {
    run.write(|values| books.put(connection, &RUNS, values))
}
