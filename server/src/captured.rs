//! The output of a process, read from a pipe and kept up to a bound. Output above the bound is read
//! too and dropped, so that the process never waits for a reader.

use std::{io, os::fd::OwnedFd};

use process::descriptors::bytes_waiting;
use tokio::net::unix::pipe::Receiver;

/// Bytes that are kept; the rest is counted.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Bytes that are read at a time.
const PIECE_BYTES: usize = 64 << 10;

/// One output stream.
pub(crate) struct Captured {
    /// `None` once the stream has ended.
    pipe: Option<Receiver>,
    pub(crate) kept: Vec<u8>,
    /// The number of bytes that were dropped.
    pub(crate) dropped: usize,
}

impl Captured {
    /// Opens a pipe, and returns its write end too. Must be called in the runtime.
    pub(crate) fn open() -> io::Result<(Self, OwnedFd)> {
        let (read, write) = io::pipe()?;
        let pipe = Receiver::from_owned_fd(read.into())?;
        Ok((Self { pipe: Some(pipe), kept: Vec::new(), dropped: 0 }, write.into()))
    }

    /// Waits for more output and keeps it. Never returns once the stream has ended.
    pub(crate) async fn more(&mut self) {
        match &self.pipe {
            None => std::future::pending().await,
            Some(pipe) => {
                // The read reports the error, if there is one.
                let _ = pipe.readable().await;
                if matches!(self.read(PIECE_BYTES), Ok(0)) {
                    self.pipe = None;
                }
            }
        }
    }

    /// Keeps what the pipe holds, without waiting for the end of the stream: a process that the
    /// connection left behind may hold the pipe open.
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
        self.dropped += length - kept;
        Ok(length)
    }
}
