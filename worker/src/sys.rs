//! Which syscalls does the standard library not have for us? A handful, each made safe here.

#![expect(unsafe_code, reason = "the C library's calls")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
    ptr::{self, NonNull},
};

/// Takes over a descriptor that this process was started with, and keeps it from whatever this
/// process starts.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes integers, and refuses a number that is no descriptor.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: it is open, and whoever started this process says that it is for us alone; the
    // caller asks once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

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

/// One read of at most `limit` bytes to the end of `out`, into room that nobody filled with
/// zeroes before. 0 at the end of the file.
pub(crate) fn read_more(
    file: BorrowedFd<'_>,
    out: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    out.reserve(limit);
    let room = out.spare_capacity_mut();
    let limit = limit.min(room.len());
    loop {
        // SAFETY: the room is ours and as long as that; the kernel writes into it only.
        let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), limit) };
        let Ok(read) = usize::try_from(read) else {
            let fault = io::Error::last_os_error();
            if fault.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(fault);
        };
        let length = out.len() + read;
        // SAFETY: the kernel has filled in that many bytes behind the old length.
        unsafe { out.set_len(length) };
        return Ok(read);
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
