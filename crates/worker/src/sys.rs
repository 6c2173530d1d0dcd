//! System calls that the standard library lacks, each with a safe interface.

#![expect(unsafe_code, reason = "calls into the C library")]

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd},
};

/// Takes ownership of a descriptor that this process inherited, and marks it close-on-exec so that
/// no child inherits it.
pub(crate) fn adopt(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes integers, and refuses a number that is not a descriptor.
    check(unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) })?;
    // SAFETY: the descriptor is open, the supervisor passed it to this process for this use, and the
    // caller adopts it only once.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Appends to `out` what one read of at most `limit` bytes returns, without filling the room with
/// zeroes first. Returns the number of bytes; 0 at the end of the file.
pub(crate) fn read_more(
    file: BorrowedFd<'_>,
    out: &mut Vec<u8>,
    limit: usize,
) -> io::Result<usize> {
    out.reserve(limit);
    let room = out.spare_capacity_mut();
    let limit = limit.min(room.len());
    loop {
        // SAFETY: the room is at least `limit` bytes long, and the kernel only writes into it.
        let read = unsafe { libc::read(file.as_raw_fd(), room.as_mut_ptr().cast(), limit) };
        let Ok(read) = usize::try_from(read) else {
            let fault = io::Error::last_os_error();
            if fault.kind() == io::ErrorKind::Interrupted {
                continue;
            }
            return Err(fault);
        };
        let length = out.len() + read;
        // SAFETY: the kernel has initialised this many bytes after the old length.
        unsafe { out.set_len(length) };
        return Ok(read);
    }
}

fn check(result: i32) -> io::Result<i32> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
