//! Where does our standard output go?

use std::{
    fs::{File, Metadata},
    io,
    os::{fd::AsFd, unix::fs::MetadataExt},
    sync::atomic::{AtomicBool, Ordering},
};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Run before `main` and before the standard library, which opens `/dev/null` in the place of a
/// standard stream that is closed: after that nothing tells it from one that was sent there.
#[used]
#[unsafe(link_section = ".init_array")]
static LOOK: extern "C" fn() = look;

extern "C" fn look() {
    // SAFETY: it takes integers, and says no more than whether the descriptor is one.
    let flags = unsafe { libc::fcntl(libc::STDOUT_FILENO, libc::F_GETFD) };
    WAS_CLOSED.store(flags < 0, Ordering::Relaxed);
}

/// Whether we were started with a closed stdout: what is written to it is lost.
#[must_use]
pub fn was_closed() -> bool {
    WAS_CLOSED.load(Ordering::Relaxed)
}

/// Whether it goes to this file, a regular one: whoever reads that reads what we write.
#[must_use]
pub fn goes_to(file: &Metadata) -> bool {
    let stdout = io::stdout().as_fd().try_clone_to_owned().map(File::from);
    let stdout = stdout.and_then(|stdout| stdout.metadata());
    stdout.is_ok_and(|stdout| {
        stdout.is_file() && (stdout.dev(), stdout.ino()) == (file.dev(), file.ino())
    })
}
