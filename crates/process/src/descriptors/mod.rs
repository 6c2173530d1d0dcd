//! File descriptors: the limit of open ones, and reading and writing without surprises.

mod open_files;
mod pipes;
mod tail;
mod writers;

use std::{
    io,
    os::fd::{AsFd, AsRawFd},
};

use tokio::io::{Interest, unix::AsyncFd};

pub use self::{
    open_files::{OpenFiles, TooFewFiles},
    pipes::{bytes_waiting, look_ahead, read_waiting, wait_writable, write, write_over},
    tail::{TAIL_BYTES, Tail},
    writers::has_writer,
};

/// Registers a descriptor with the runtime, which then waits until it is readable. The caller must
/// be in the runtime.
///
/// # Errors
/// The descriptor cannot be polled, or no descriptors are left.
pub fn poll_readable<T: AsFd + AsRawFd>(fd: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: the AsyncFd owns `fd`, which owns its descriptor, so that the descriptor is neither
    // closed nor replaced while it is registered.
    unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) }
        .map_err(|error| error.into_parts().1)
}
