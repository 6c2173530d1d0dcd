//! Is there a terminal, and is it still there?

use std::fs::OpenOptions;

/// Whether this process has a controlling terminal. One that had and has none any more has
/// lost it: the window was closed.
#[must_use]
pub fn is_attached() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}

/// How many columns the terminal on stderr has; 80 where it does not say.
#[must_use]
pub fn columns() -> u16 {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills in the winsize it is given.
    let result = unsafe { libc::ioctl(libc::STDERR_FILENO, libc::TIOCGWINSZ, &raw mut size) };
    if result == 0 && size.ws_col > 0 { size.ws_col } else { 80 }
}
