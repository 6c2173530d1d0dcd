//! Where the standard output of this process goes.

use std::{
    fs::{File, Metadata},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::atomic::{AtomicBool, Ordering},
};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Notes whether stdout is closed, for [`was_closed`]. A binary must call this before the standard
/// library starts, from `.init_array`: the library opens `/dev/null` in place of a closed standard
/// stream, and from then on the two look the same.
pub extern "C" fn note_if_closed() {
    // SAFETY: F_GETFD takes only integers and fails if the descriptor is not open.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// Whether this process was started with a closed stdout, so that everything written to it is lost.
/// False in a binary that does not call [`note_if_closed`].
#[must_use]
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}

/// Whether stdout is this regular file, so that a reader of the file would read this program's own
/// output.
#[must_use]
pub fn goes_to(file: &Metadata) -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stdout = stdout.and_then(|stdout| stdout.metadata());
    stdout.is_ok_and(|stdout| {
        stdout.is_file() && (stdout.dev(), stdout.ino()) == (file.dev(), file.ino())
    })
}
