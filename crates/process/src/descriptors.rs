//! How many files may be open, and are there enough? The supervisor raises its own soft limit
//! to the hard one; its workers get the user's back.

use std::{
    fs::File,
    io::{self, Read},
    os::fd::{AsFd, AsRawFd},
};

use nix::{
    errno::Errno,
    fcntl::{SpliceFFlags, tee},
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::resource::{Resource, getrlimit, setrlimit},
};
use serde::{Deserialize, Serialize};

/// The user's limits of open files, as we found them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OpenFiles {
    pub(super) soft: u64,
    pub(super) hard: u64,
}

/// Fewer open files than are needed.
#[derive(Debug, thiserror::Error)]
#[error(
    "{count} {what} need {need} open files and the limit is {hard}: \
     {}raise the limit with `ulimit -Hn`",
    fewer(*fits, flag)
)]
pub struct TooFewFiles {
    what: &'static str,
    flag: &'static str,
    count: u32,
    need: u64,
    hard: u64,
    fits: u64,
}

/// What else can be done about it.
fn fewer(fits: u64, flag: &str) -> String {
    if fits == 0 { String::new() } else { format!("ask for at most {fits} with {flag}, or ") }
}

/// Descriptors of one process: our ends of its stdout and stderr, our pidfd and the runtime's,
/// and until it is executed our end of its socket.
const PER_PROCESS: u64 = 5;
/// What a start needs besides: the other ends of those three, and the spawn's own. There is one
/// start at a time.
const PER_START: u64 = 8;
/// What any program of ours needs besides: its own standard streams, runtime and signal pipe,
/// and the one more worker of a roll.
const BASE: u64 = 24 + PER_PROCESS + PER_START;

impl OpenFiles {
    /// Raises the soft limit to the hard one, and returns what was there before.
    ///
    /// # Errors
    /// What the kernel says; it has no reason to.
    pub fn raise() -> io::Result<Self> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok(Self { soft, hard })
    }

    /// Checks that `count` processes can be served, with so many open files `each` besides those
    /// that any has, and `others` besides. `what` they are and which `flag` asks for them goes
    /// into the message.
    ///
    /// # Errors
    /// They cannot; the message says how many could.
    pub fn suffice_for(
        self,
        count: u32,
        each: u64,
        others: u64,
        what: &'static str,
        flag: &'static str,
    ) -> Result<(), TooFewFiles> {
        let each = PER_PROCESS + each;
        let base = BASE + others;
        let need = base + each * u64::from(count);
        if need <= self.hard {
            return Ok(());
        }
        let fits = self.hard.saturating_sub(base) / each;
        Err(TooFewFiles { what, flag, count, need, hard: self.hard, fits })
    }
}

/// Waits until a descriptor can be written to: one that somebody else made non-blocking.
pub fn wait_writable(fd: impl AsFd) {
    let mut watched = [PollFd::new(fd.as_fd(), PollFlags::POLLOUT)];
    // An interrupted or failed wait shows at the next write.
    let _ = poll(&mut watched, PollTimeout::NONE);
}

/// How many bytes wait in a pipe.
#[must_use]
pub fn bytes_waiting(pipe: impl AsFd) -> usize {
    let mut count: libc::c_int = 0;
    // SAFETY: FIONREAD stores one int at the address given.
    let result = unsafe { libc::ioctl(pipe.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut count) };
    if result == 0 { usize::try_from(count).unwrap_or(0) } else { 0 }
}

/// Takes what waits in a pipe now, a buffer at a time, and nothing that is added meanwhile:
/// whoever holds the other end may write on and on. Stops where it is not taken.
///
/// # Errors
/// Why it is not taken; one of the pipe's own is as its end.
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

/// What waits in a pipe, up to its usual capacity, left where it is.
///
/// # Errors
/// Nothing waits, or no descriptors are left.
pub fn look_ahead(pipe: impl AsFd) -> io::Result<Vec<u8>> {
    const CAPACITY: usize = 64 << 10;
    let (mut copy, end) = io::pipe()?;
    let length = tee(pipe, &end, CAPACITY, SpliceFFlags::SPLICE_F_NONBLOCK)?;
    let mut bytes = vec![0; length];
    copy.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Writes all, also to a stream that somebody else made non-blocking. (`io::stdout` buffers, and
/// may drop what it buffered when the descriptor would block.)
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

/// Writes over the beginning of a file; of what has none, such as a pipe, nothing.
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
    fn too_few_files_are_refused_with_the_number_that_fits() {
        let files = OpenFiles { soft: 64, hard: 64 };
        assert!(files.suffice_for(5, 0, 0, "workers", "--workers").is_ok());
        let message = files.suffice_for(512, 0, 0, "workers", "--workers").unwrap_err().to_string();
        assert!(
            message.contains("512 workers need 2597") && message.contains("at most 5"),
            "{message}"
        );
        let none = OpenFiles { soft: 8, hard: 8 };
        let message = none.suffice_for(1, 0, 0, "workers", "--workers").unwrap_err().to_string();
        assert!(
            message.ends_with("the limit is 8: raise the limit with `ulimit -Hn`"),
            "{message}"
        );
    }

    #[test]
    fn what_is_written_meanwhile_is_left_where_it_is() {
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
    fn looking_ahead_takes_nothing() {
        use std::io::Write;
        let (mut read, mut write) = io::pipe().unwrap();
        write.write_all(b"last words").unwrap();
        assert_eq!(look_ahead(&read).unwrap(), b"last words");
        assert_eq!(bytes_waiting(&read), 10);
        let mut bytes = [0; 10];
        read.read_exact(&mut bytes).unwrap();
        assert_eq!(&bytes, b"last words");
        assert!(look_ahead(&read).is_err(), "and it never waits");
    }
}
