//! The system calls of the recorder's page, each with a safe interface: the standard library
//! offers neither sealed memory nor mappings.

#![expect(unsafe_code, reason = "calls into the C library")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

/// Nameless memory of this size, which can be mapped elsewhere and never be given another size:
/// so that nobody who shares it can make us touch what is no longer there (SIGBUS).
pub(crate) fn sealed_memory(bytes: usize) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string, and is copied.
    let number = check(unsafe { libc::memfd_create(c"recorder".as_ptr(), flags) })?;
    // SAFETY: just made, and nobody else's.
    let memory = unsafe { OwnedFd::from_raw_fd(number) };
    let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: integers only.
    check(unsafe { libc::ftruncate(number, length) })?;
    // SAFETY: integers only.
    check(unsafe { libc::fcntl(number, libc::F_ADD_SEALS, seals) })?;
    Ok(memory)
}

/// Memory that is shared with another process.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    /// Maps that many bytes of what `file` is; refuses a file of another size.
    pub(crate) fn new(file: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let length = std::fs::File::from(file.try_clone_to_owned()?).metadata()?.len();
        if length != bytes as u64 {
            return Err(io::Error::other(format!("{length} bytes long, not {bytes}")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (shared, file) = (libc::MAP_SHARED, file.as_raw_fd());
        // SAFETY: the kernel chooses a place where nothing is yet.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, shared, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, bytes })
    }

    /// The first byte: at the beginning of a page, and valid as long as this value lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and whatever points into it borrows from this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

// SAFETY: an address and a length that never change, at home in no thread.
unsafe impl Send for Mapping {}
// SAFETY: as above; what is done at the address is for those to answer who do it.
unsafe impl Sync for Mapping {}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
