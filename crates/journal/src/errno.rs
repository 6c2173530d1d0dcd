//! Returns the system's error number behind an error of SQLite, whose own codes name only the
//! operation that failed.

use rusqlite::{Connection, ErrorCode, ffi};

/// Returns the error number behind the last failure of this connection; 0 if there was none.
pub(super) fn last(connection: &Connection, error: &rusqlite::Error) -> i32 {
    match error.sqlite_error_code() {
        // SQLite keeps no error number for a full disk, which has a code of its own.
        Some(ErrorCode::DiskFull) => libc::ENOSPC,
        // SAFETY: the handle belongs to an open connection and is not kept.
        _ => unsafe { ffi::sqlite3_system_errno(connection.handle()) },
    }
}
