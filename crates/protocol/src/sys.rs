//! The system calls of the recorder's page, each with a safe interface: the standard library
//! offers neither sealed memory nor mappings.

#![expect(unsafe_code, reason = "calls into the C library")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
    ptr::{self, NonNull},
};

/// Creates anonymous memory of this size that other processes can map and that cannot be resized,
/// so that no process that shares it can make an access fault (SIGBUS) by truncating it.
pub(crate) fn sealed_memory(bytes: usize) -> io::Result<OwnedFd> {
    let flags = libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING;
    // SAFETY: the name is a C string, which the kernel copies.
    let number = check(unsafe { libc::memfd_create(c"recorder".as_ptr(), flags) })?;
    // SAFETY: the descriptor was just created and has no other owner.
    let memory = unsafe { OwnedFd::from_raw_fd(number) };
    let length = libc::off_t::try_from(bytes).map_err(io::Error::other)?;
    let seals = libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | libc::F_SEAL_SEAL;
    // SAFETY: the call takes integers only.
    check(unsafe { libc::ftruncate(number, length) })?;
    // SAFETY: the call takes integers only.
    check(unsafe { libc::fcntl(number, libc::F_ADD_SEALS, seals) })?;
    Ok(memory)
}

/// A mapping of memory that is shared with another process.
#[derive(Debug)]
pub(crate) struct Mapping {
    start: NonNull<u8>,
    bytes: usize,
}

impl Mapping {
    /// Maps `file`, which must have exactly this size.
    pub(crate) fn new(file: BorrowedFd<'_>, bytes: usize) -> io::Result<Self> {
        let length = std::fs::File::from(file.try_clone_to_owned()?).metadata()?.len();
        if length != bytes as u64 {
            return Err(io::Error::other(format!("{length} bytes long, not {bytes}")));
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let (shared, file) = (libc::MAP_SHARED, file.as_raw_fd());
        // SAFETY: the kernel chooses an address range that is not in use.
        let start = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, shared, file, 0) };
        if start == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let start = NonNull::new(start.cast()).ok_or(io::ErrorKind::InvalidData)?;
        Ok(Self { start, bytes })
    }

    /// The address of the first byte: page-aligned, and valid while this value lives.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.start
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` mapped this range, and every pointer into it borrows from this value.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.bytes) };
    }
}

// SAFETY: the value is an address and a length, neither of which is tied to a thread.
unsafe impl Send for Mapping {}
// SAFETY: address and length never change. Code that accesses the memory must synchronise it.
unsafe impl Sync for Mapping {}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
