//! Which syscalls does the standard library not have for us? A handful, each made safe here.

#![expect(unsafe_code, reason = "the C library's calls")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
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
