//! The terminal of this process: whether it is still there, and its width.

use std::{
    fs::OpenOptions,
    os::fd::{AsFd, AsRawFd},
};

use nix::unistd::getpgrp;

/// Whether this process has a controlling terminal. A process that had one loses it when the
/// terminal is closed.
#[must_use]
pub fn is_attached() -> bool {
    OpenOptions::new().read(true).open("/dev/tty").is_ok()
}

/// Whether this process may draw on the terminal on stderr: not if another process group is in the
/// foreground there.
#[must_use]
pub fn is_in_foreground() -> bool {
    // SAFETY: tcgetpgrp takes a descriptor, which need not be open, and touches no memory.
    let foreground = unsafe { libc::tcgetpgrp(libc::STDERR_FILENO) };
    // An error means that this is not the controlling terminal, so that nobody else draws there.
    foreground < 0 || foreground == getpgrp().as_raw()
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
