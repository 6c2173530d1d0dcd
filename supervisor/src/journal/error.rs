//! What can be wrong with a journal? One clear message each: the thing, the reason, the remedy.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, ErrorCode};

use super::{errno, schema::Table};
use text::escape::visible;

/// Why a journal cannot be used, or written to any more.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Another supervisor writes to it.
    #[error(
        "the journal {} is being written by another supervisor: wait until that has ended, or name another file",
        shown(path)
    )]
    Locked {
        /// The journal.
        path: PathBuf,
    },
    /// Some program has held it for longer than we wait.
    #[error(
        "the journal {} is held by another program: let that program end, such as sqlite3 with an open transaction, and try again",
        shown(path)
    )]
    Busy {
        /// The journal.
        path: PathBuf,
    },
    /// It is something else.
    #[error("{} is not a journal: {why}; name another file", shown(path))]
    NotAJournal {
        /// The file.
        path: PathBuf,
        /// Why it cannot be.
        why: String,
    },
    /// A later supervisor wrote it.
    #[error(
        "the journal {} has version {version}, and this supervisor knows no version above {}: use the supervisor that wrote it, or name another file",
        shown(path),
        super::schema::VERSION
    )]
    TooNew {
        /// The journal.
        path: PathBuf,
        /// What it has.
        version: i32,
    },
    /// It is not what was written.
    #[error(
        "the journal {} is damaged: {damage}; take a copy from before that, or begin again with another file",
        shown(path)
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
        shown(path),
        reason(libc::ENOSPC),
        libc::ENOSPC
    )]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// A write has failed before, and none is tried again.
    #[error(
        "the journal {} is written no more, since a write to it failed; what was committed is kept: run the same command again",
        shown(path)
    )]
    Over {
        /// The journal.
        path: PathBuf,
    },
    /// The system refused something.
    #[error("the journal {} cannot be {doing}: {}; {}", shown(path), why(cause, *errno), remedy(doing))]
    Failed {
        /// The journal.
        path: PathBuf,
        /// What was tried.
        doing: &'static str,
        /// The system's error number; 0 where it gave none.
        errno: i32,
        /// In SQLite's words, which the message has: no source that would be told behind it.
        cause: rusqlite::Error,
    },
    /// The file beside it that only its writer holds cannot be had.
    #[error(
        "the journal {} cannot be locked: {cause}; give write access to its directory, or name another file",
        shown(path)
    )]
    NoLock {
        /// The journal.
        path: PathBuf,
        /// The system's reason.
        cause: io::Error,
    },
}

fn shown(path: &Path) -> String {
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
    /// What SQLite said while this was done.
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

    /// What the system refused, of whatever call that has no code of its own for a full disk.
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

    /// The same of the file beside it.
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
}

/// What is not as it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Damage {
    /// The table and the key of the row, where it is known to be one.
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

    /// Something that is no row of its own.
    pub(super) fn file(what: &impl fmt::Display) -> Self {
        Self { row: None, what: what.to_string() }
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}
