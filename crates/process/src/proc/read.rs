//! Bounded reads of the texts that the kernel composes below `/proc`.

use std::{fs::File, io::Read, path::Path};

/// Upper bound for the length of a text that the kernel composes, in bytes. The longest is the
/// `status` of a process with 65,536 supplementary groups.
const TEXT_BYTES_MAX: u64 = 1 << 20;
/// Reads a text of the kernel; `None` where that fails, as it does once a process is gone. A name in
/// it that a process has chosen need not be UTF-8.
pub(crate) fn text(path: impl AsRef<Path>) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(TEXT_BYTES_MAX).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
