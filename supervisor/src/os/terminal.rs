//! Is there a terminal, and is it still there?

use std::fs::OpenOptions;

/// Whether this process has a controlling terminal. One that had and has none any more has
/// lost it: the window was closed.
#[must_use]
pub fn is_attached() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}
