//! What did the system say when SQLite failed? Its own codes tell only what was tried.

use rusqlite::{Connection, ErrorCode, ffi};

/// The error number behind the last failure of this connection; 0 where there was none.
pub(super) fn last(connection: &Connection, error: &rusqlite::Error) -> i32 {
    match error.sqlite_error_code() {
        // SQLite keeps no number for the one it has a code of its own for.
        Some(ErrorCode::DiskFull) => libc::ENOSPC,
        // SAFETY: the handle is that of an open connection, and is not kept.
        _ => unsafe { ffi::sqlite3_system_errno(connection.handle()) },
    }
}
