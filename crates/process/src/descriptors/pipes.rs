//! Reading what a pipe holds now, and writing to streams that others may have made non-blocking.

use std::{
    fs::File,
    io::{self, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    errno::Errno,
    fcntl::{SpliceFFlags, tee},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::stat::{Mode, fchmod},
};

/// Opens a pipe for the output of a program. The program can open its end by name, as `/dev/stdout`,
/// even after it has changed its user; nobody else reaches the name.
///
/// # Errors
/// No descriptors are left.
pub fn output_pipe() -> io::Result<(PipeReader, PipeWriter)> {
    let (read, write) = io::pipe()?;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IWGRP | Mode::S_IWOTH;
    fchmod(&write, mode)?;
    Ok((read, write))
}

/// Waits until a descriptor that another process made non-blocking can be written to.
pub fn wait_writable(fd: impl AsFd) {
    let mut polled = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    // The next write shows whether the wait was interrupted or failed.
    let _ = poll(&mut polled, PollTimeout::NONE);
}

/// The number of bytes that a pipe holds and nobody has read.
#[must_use]
pub fn bytes_waiting(pipe: impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD stores one int at the address given, which is that of `count`.
    let result = unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// Reads what a pipe holds now, one buffer at a time, and hands each piece to `take`. Bytes that
/// arrive meanwhile stay in the pipe: the process at the other end may write without end. An error
/// of the pipe counts as its end.
///
/// # Errors
/// The first error of `take`, after which nothing more is read.
pub fn read_waiting<E>(
    pipe: impl AsFd,
    buffer: &mut [u8],
    mut take: impl FnMut(&[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut left = bytes_waiting(&pipe);
    while left > 0 {
        let piece = left.min(buffer.len());
        match nix::unistd::read(&pipe, &mut buffer[..piece]) {
            Err(Errno::EINTR) => {}
            Ok(0) | Err(_) => break,
            Ok(bytes) => {
                left -= bytes;
                take(&buffer[..bytes])?;
            }
        }
    }
    Ok(())
}

/// Copies what a pipe holds, up to its usual capacity, and leaves it in the pipe. Never waits.
///
/// # Errors
/// The pipe is empty, or no descriptors are left.
pub fn look_ahead(pipe: impl AsFd) -> io::Result<Vec<u8>> {
    const CAPACITY: usize = 64 << 10;
    let (mut copy, end) = io::pipe()?;
    let length = tee(pipe, &end, CAPACITY, SpliceFFlags::SPLICE_F_NONBLOCK)?;
    let mut bytes = vec![0; length];
    copy.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes all bytes and waits for room where another process made the stream non-blocking.
/// (`io::stdout` buffers, and may drop what it buffered when the descriptor would block.)
///
/// # Errors
/// The first error other than a full stream or an interruption.
pub fn write(stream: impl AsFd, mut bytes: &[u8]) -> nix::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(&stream, bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(Errno::EAGAIN) => wait_writable(&stream),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Overwrites the beginning of a file. Does nothing to a file that has no position, such as a pipe.
///
/// # Errors
/// The file cannot be written.
pub fn write_over(file: &File, bytes: &[u8]) -> nix::Result<()> {
    match nix::sys::uio::pwrite(file, bytes, 0) {
        Err(Errno::ESPIPE) | Ok(_) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_arrive_during_a_read_stay_in_the_pipe() {
        use std::io::Write;
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"0123456789").unwrap();
        let mut taken = Vec::new();
        let all = read_waiting(&read, &mut [0; 4], |bytes| {
            write.write_all(b"more")?;
            taken.extend_from_slice(bytes);
            io::Result::Ok(())
        });
        assert!(all.is_ok() && taken == b"0123456789", "{taken:?}");
        assert_eq!(bytes_waiting(&read), 12);
    }

    #[test]
    fn looking_ahead_takes_nothing_and_never_waits() {
        use std::io::Write;
        let (mut read, mut write) = io::pipe().unwrap();
        write.write_all(b"last words").unwrap();
        assert_eq!(look_ahead(&read).unwrap(), b"last words");
        assert_eq!(bytes_waiting(&read), 10);
        let mut bytes = [0; 10];
        read.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"last words");
        assert!(look_ahead(&read).is_err());
    }
}
