//! What did a process write to a pipe? Kept up to a bound, read to its end either way, so that
//! the writer never waits for a reader who has had enough.

use std::{io, os::fd::OwnedFd};

use process::descriptors::bytes_waiting;
use tokio::net::unix::pipe::Receiver;

/// No more is kept; the rest is counted.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// One stream of its output.
pub(crate) struct Captured {
    /// `None` once it has ended.
    pipe: Option<Receiver>,
    pub(crate) kept: Vec<u8>,
    /// Bytes there was no room for.
    pub(crate) lost: usize,
}

impl Captured {
    /// And the end that the connection writes to.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = io::pipe()?;
        let pipe = Receiver::from_owned_fd(read.into())?;
        Ok((Self { pipe: Some(pipe), kept: Vec::new(), lost: 0 }, write.into()))
    }

    /// Waits for more and keeps it. Never returns once the stream has ended.
    pub(crate) async fn more(&mut self) {
        match &self.pipe {
            None => std::future::pending().await,
            Some(pipe) => {
                // An error shows at the read.
                let _ = pipe.readable().await;
                if matches!(self.read(PIECE_BYTES), Ok(0)) {
                    self.pipe = None;
                }
            }
        }
    }

    /// Keeps what is left in the pipe. Not up to the end of the stream: a process that the
    /// connection left behind may hold it open.
    pub(crate) fn rest(&mut self) {
        let mut left = self.pipe.as_ref().map_or(0, bytes_waiting);
        while left > 0 {
            match self.read(left.min(PIECE_BYTES)) {
                Ok(length @ 1..) => left = left.saturating_sub(length),
                _ => return,
            }
        }
    }

    fn read(&mut self, bytes_max: usize) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let mut piece = vec![0; bytes_max];
        let length = pipe.try_read(&mut piece)?;
        let kept = length.min(KEPT_BYTES_MAX - self.kept.len());
        self.kept.extend_from_slice(&piece[..kept]);
        self.lost += length - kept;
        Ok(length)
    }
}
