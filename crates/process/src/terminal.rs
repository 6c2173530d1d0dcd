//! The terminal of this process: whether it is still there, and its width.

use std::{
    fs::OpenOptions,
    os::fd::{AsFd, AsRawFd},
};

/// Whether this process has a controlling terminal. A process that had one loses it when the
/// terminal is closed.
#[must_use]
pub fn is_attached() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}

/// The number of columns of the terminal behind a descriptor; `None` if it is no terminal, or one
/// without a known size.
#[must_use]
pub fn columns(descriptor: impl AsFd) -> Option<u16> {
    let descriptor = descriptor.as_fd().as_raw_fd();
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: TIOCGWINSZ fills in the winsize at the address given, which is that of `size`.
    let result = unsafe { libc::ioctl(descriptor, libc::TIOCGWINSZ, &raw mut size) };
    (result == 0 && size.ws_col > 0).then_some(size.ws_col)
}
