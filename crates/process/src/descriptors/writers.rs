//! Whether a file is open for writing somewhere.

use std::{
    fs::File,
    io,
    os::fd::{AsRawFd, RawFd},
};

/// Sets the signal that reports a broken lease; fcntl(2). The same number on all architectures of
/// Linux.
const F_SETSIG: i32 = 10;

/// Whether any process has this file open for writing. The kernel tells only the owner of the file,
/// and not on every file system.
///
/// # Errors
/// The kernel does not tell.
pub fn has_writer(file: &File) -> io::Result<bool> {
    let fd = file.as_raw_fd();
    // A program that opens the file in this moment breaks the lease. The signal that reports it must
    // be one that is ignored by default.
    set(fd, F_SETSIG, libc::SIGURG)?;
    // A read lease is given only on a file that nobody has open for writing.
    match set(fd, libc::F_SETLEASE, libc::F_RDLCK) {
        Ok(()) => set(fd, libc::F_SETLEASE, libc::F_UNLCK).map(|()| false),
        Err(error) if error.raw_os_error() == Some(libc::EAGAIN) => Ok(true),
        Err(error) => Err(error),
    }
}

fn set(fd: RawFd, operation: i32, value: i32) -> io::Result<()> {
    // SAFETY: these operations take an integer and touch no memory; the caller has the file open.
    match unsafe { libc::fcntl(fd, operation, value) } {
        -1 => Err(io::Error::last_os_error()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_a_writer_as_long_as_it_is_open_for_writing() {
        let path = std::env::temp_dir().join(format!("supervisor-writer-{}", std::process::id()));
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        std::fs::remove_file(path).unwrap();
        assert!(has_writer(&reader).unwrap());
        drop(writer);
        assert!(!has_writer(&reader).unwrap());
    }
}
