//! Errors of a journal. Each message names the file, the reason and the remedy.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode};

use text::escape::visible;

use super::{errno, schema::Table};

/// Why a journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another supervisor is writing to the journal.
    #[error(
        "the journal {} is being written by another supervisor: wait until that has ended, or name another file",
        printable(path)
    )]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// Another program has locked the file for longer than the busy timeout.
    #[error(
        "the journal {} is held by another program: let that program end, such as sqlite3 with an open transaction, and try again",
        printable(path)
    )]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// The file is not a journal.
    #[error("{} is not a journal: {why}; name another file", printable(path))]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// Why it is not a journal.
        why: String,
    },
    /// A newer supervisor wrote the journal.
    #[error(
        "the journal {} has version {version}, and this supervisor knows no version above {}: use the supervisor that wrote it, or name another file",
        printable(path),
        super::schema::VERSION
    )]
    TooNew {
        /// The journal.
        path: PathBuf,
        /// The version of its tables.
        version: i32,
    },
    /// The journal has changed since it was written.
    #[error(
        "the journal {} is damaged: {damage}; take a copy from before that, or begin again with another file",
        printable(path)
    )]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong.
        damage: Damage,
    },
    /// The disk is full.
    #[error(
        "the journal {} cannot be written: {} (errno {}); what was committed is kept: make room, and run the same command again",
        printable(path),
        reason(libc::ENOSPC),
        libc::ENOSPC
    )]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// A write failed before, and after that nothing is written.
    #[error(
        "the journal {} is no longer written, since a write to it failed; what was committed is kept: run the same command again",
        printable(path)
    )]
    Over {
        /// The journal.
        path: PathBuf,
    },
    /// The system refused an operation.
    #[error("the journal {} cannot be {doing}: {}; {}", printable(path), why(cause, *errno), remedy(doing))]
    Failed {
        /// The journal.
        path: PathBuf,
        /// The operation, as a participle.
        doing: &'static str,
        /// The system's error number; 0 if there is none.
        errno: i32,
        /// The error of SQLite. It is part of the message, and therefore not a source.
        cause: rusqlite::Error,
    },
    /// Other users control the path, or it leads to something else than one file.
    #[error(
        "the journal {} cannot be used: {reason}; see to that, or name another file",
        printable(path)
    )]
    UnsafePath {
        /// The journal.
        path: PathBuf,
        /// What is wrong with the path.
        reason: io::Error,
    },
    /// The lock file cannot be created or locked.
    #[error(
        "the journal {} cannot be locked: {cause}; give write access to its directory, or name another file",
        printable(path)
    )]
    NoLock {
        /// The journal.
        path: PathBuf,
        /// The error of the system.
        cause: io::Error,
    },
}

fn printable(path: &Path) -> String {
    visible(path.as_os_str().as_encoded_bytes())
}

fn reason(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    text.split(" (os error").next().unwrap_or(&text).into()
}

fn why(cause: &rusqlite::Error, errno: i32) -> String {
    match errno {
        0 => cause.to_string(),
        errno => format!("{} (errno {errno}; {cause})", reason(errno)),
    }
}

fn remedy(doing: &str) -> &'static str {
    match doing {
        "written" => "what was committed is kept: see to the disk, and run the same command again",
        _ => "see to that, or name another file",
    }
}

impl Error {
    /// Converts an error of SQLite; `doing` names the operation.
    pub(super) fn new(
        path: &Path,
        doing: &'static str,
        connection: &Connection,
        cause: rusqlite::Error,
    ) -> Self {
        let path = path.to_owned();
        match cause.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Busy { path },
            Some(ErrorCode::NotADatabase) => {
                Self::NotAJournal { path, why: "it is no SQLite file".into() }
            }
            Some(ErrorCode::DatabaseCorrupt) => {
                Self::Damaged { path, damage: Damage::file(&cause) }
            }
            _ => Self::failed(path, doing, errno::last(connection, &cause), cause),
        }
    }

    /// Converts an error of any system call; a full disk is recognised by its error number.
    pub(super) fn failed(
        path: PathBuf,
        doing: &'static str,
        errno: i32,
        cause: rusqlite::Error,
    ) -> Self {
        match errno {
            libc::ENOSPC => Self::Full { path },
            _ => Self::Failed { path, doing, errno, cause },
        }
    }

    pub(super) fn unsafe_path(path: &Path, reason: io::Error) -> Self {
        Self::UnsafePath { path: path.to_owned(), reason }
    }

    /// Converts an error of the lock file.
    pub(super) fn no_lock(path: &Path, cause: io::Error) -> Self {
        let path = path.to_owned();
        match cause.raw_os_error() {
            Some(libc::ENOSPC) => Self::Full { path },
            _ => Self::NoLock { path, cause },
        }
    }

    pub(super) fn damaged(path: &Path, damage: Damage) -> Self {
        Self::Damaged { path: path.to_owned(), damage }
    }

    /// Converts the reason why an operation stopped; `doing` names the operation.
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

/// Why reading or writing rows stopped.
pub(super) enum Stopped {
    Sqlite(rusqlite::Error),
    Damage(Damage),
}

impl From<Damage> for Stopped {
    fn from(damage: Damage) -> Self {
        Self::Damage(damage)
    }
}

impl From<rusqlite::Error> for Stopped {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

/// Something in a journal that has changed since it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The table and the key of the damaged row, if they are known.
    pub row: Option<(&'static str, i64)>,
    what: String,
}

impl Damage {
    pub(super) fn row(table: &Table, key: Option<i64>, what: impl fmt::Display) -> Self {
        let what = match key {
            Some(key) => format!("row {key} of {} {what}", table.name),
            None => format!("a row of {} {what}", table.name),
        };
        Self { row: key.map(|key| (table.name, key)), what }
    }

    /// Returns damage that does not belong to one row.
    pub(super) fn file(what: &impl fmt::Display) -> Self {
        Self { row: None, what: what.to_string() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
