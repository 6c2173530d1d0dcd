//! Bounded reads of files below `/proc`. A process decides what some of its files hold: it can make
//! its environment as large as its address space, for instance. So no file is read beyond the most
//! that the kernel writes for a process that does not try to.

use std::{fs::File, io::Read, path::Path};

/// Upper bound for the length of a text that the kernel composes, in bytes. The longest is the
/// `status` of a process with 65,536 supplementary groups.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Upper bound for the length of an environment, in bytes: the kernel executes no program with more
/// than 6 MiB of arguments and environment.
pub(super) const ENVIRONMENT_BYTES_MAX: u64 = 6 << 20;

/// Reads a text of the kernel; `None` where that fails, as it does once a process is gone. A name in
/// it that a process has chosen need not be UTF-8.
pub(crate) fn text(path: impl AsRef<Path>) -> Option<String> {
    let bytes = bytes(path, TEXT_BYTES_MAX)?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads the first `max` bytes of a file.
pub(super) fn bytes(path: impl AsRef<Path>, max: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}
