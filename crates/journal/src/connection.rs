//! Opens the file with SQLite, creates the tables, and checks that the file is a journal.

use std::{
    borrow::Cow,
    ffi::OsString,
    path::{Path, PathBuf},
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, ffi};

use super::{
    append::WriteState,
    durability::Sync,
    error::{Damage, Error},
    schema::{self, APPLICATION, VERSION},
};

/// How long to wait for another program that has locked the file.
const BUSY: Duration = Duration::from_secs(5);

/// Opens a connection with the settings that readers and writers share.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let flags = flags | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(plain(path), flags).map_err(|cause| {
        let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
        Error::failed(path.to_owned(), "opened", errno, cause)
    })?;
    let set = || {
        connection.busy_timeout(BUSY)?;
        // The store makes all checkpoints: errors of an automatic one are not reported.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)
    };
    set().map_err(|error| Error::new(path, "opened", &connection, error))?;
    Ok(connection)
}

/// Protects a path that SQLite would take for a URI.
fn plain(path: &Path) -> Cow<'_, Path> {
    if !path.as_os_str().as_encoded_bytes().starts_with(b"file:") {
        return path.into();
    }
    let mut name = OsString::from("./");
    name.push(path);
    PathBuf::from(name).into()
}

/// Whether the file is empty. A file whose creation was interrupted counts as empty.
pub(super) fn is_new(connection: &Connection) -> rusqlite::Result<bool> {
    let application: i32 =
        connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    let count = "SELECT count(*) FROM sqlite_schema";
    let objects: i64 = connection.query_row(count, [], |row| row.get(0))?;
    Ok(application == 0 && objects == 0)
}

/// Switches the file to a write-ahead log. SQLite reports no error if it cannot, so the resulting
/// mode is checked.
fn log_ahead(connection: &Connection) -> rusqlite::Result<()> {
    let mode = set_mode(connection, "WAL")?;
    let text = "it has no log to write ahead of it, as on some file systems".into();
    let refused = ffi::Error::new(ffi::SQLITE_IOERR);
    (mode.as_deref() == Some("wal"))
        .then_some(())
        .ok_or(rusqlite::Error::SqliteFailure(refused, Some(text)))
}

/// Sets the journal mode of SQLite and returns the mode that is now in effect. The change may still
/// fail after the row with the mode, so the statement is run to its end.
pub(super) fn set_mode(connection: &Connection, mode: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode={mode}"))?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.map(|row| row.get(0)).transpose()?;
    while rows.next()?.is_some() {}
    Ok(mode)
}

/// Creates the tables.
pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
    log_ahead(connection)?;
    let statements: Vec<_> = schema::statements().collect();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE; PRAGMA application_id={APPLICATION}; PRAGMA user_version={VERSION}; {};",
        statements.join("; ")
    ))?;
    WriteState::create(connection)?;
    connection.execute_batch("COMMIT")
}

/// Checks that the file has exactly the tables of a journal.
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

/// Prepares the connection for writing.
pub(super) fn prepare(connection: &Connection, sync: Sync) -> rusqlite::Result<()> {
    // The mode is stored in the file, and another program may have changed it.
    log_ahead(connection)?;
    let synchronous = match sync {
        Sync::Always | Sync::Batch => "FULL",
        Sync::Off => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "wal_autocheckpoint", 0)
}
