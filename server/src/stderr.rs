//! The stderr of a connection's process: whole lines go to the log, and the end of the stream is
//! kept, because a program that runs out of memory usually says so there.

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
};

use pool::exit::says_out_of_memory;
use process::descriptors::{Tail, read_waiting};
use tokio::{net::unix::pipe::Receiver, task::yield_now};

use crate::log::{Log, Room};

/// Bytes that are read at a time. A line above this length goes to the log in parts.
const PIECE_BYTES: usize = 4 << 10;

/// The server's end of the stream.
#[derive(Debug)]
pub(crate) struct Stderr {
    /// `None` once the stream has ended.
    pipe: Option<Receiver>,
    /// The beginning of a line that is not complete yet.
    line: Vec<u8>,
    tail: Tail,
    log: Log,
}

impl Stderr {
    /// Opens a pipe, and returns its write end too. Must be called in the runtime.
    pub(crate) fn open(log: &Log) -> io::Result<(Self, OwnedFd)> {
        let (read, write) = io::pipe()?;
        let pipe = Some(Receiver::from_owned_fd(read.into())?);
        let stderr = Self { pipe, line: Vec::new(), tail: Tail::default(), log: log.clone() };
        Ok((stderr, write.into()))
    }

    /// Waits for output and forwards one piece. Never returns once the stream has ended. Cancelling
    /// the wait loses no output.
    pub(crate) async fn forward(&mut self) {
        let Some(pipe) = &self.pipe else { return std::future::pending().await };
        // An error shows at the read.
        let _ = pipe.readable().await;
        let room = self.log.room().await;
        let mut piece = [0; PIECE_BYTES];
        match pipe.try_read(&mut piece) {
            Ok(0) => {
                self.pipe = None;
                self.end(Some(room));
            }
            Ok(length) => self.take(&piece[..length], Some(room)),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.pipe = None,
        }
        // A flood of output must not keep others from their turn.
        yield_now().await;
    }

    /// Whether the last output says that memory ran out. Output that waits in the pipe counts.
    pub(crate) fn says_out_of_memory(&self) -> bool {
        let tail = self.tail.with_waiting(self.pipe.as_ref().map(AsFd::as_fd));
        says_out_of_memory([b"", &tail])
    }

    /// Forwards the rest of the output of a process that has ended, without waiting for the end of
    /// the stream or for room. Output without room is dropped.
    pub(crate) fn finish(mut self) {
        if let Some(pipe) = self.pipe.take() {
            let mut piece = [0; PIECE_BYTES];
            let _ = read_waiting(&pipe, &mut piece, |bytes| {
                self.take(bytes, self.log.try_room());
                Ok::<(), std::convert::Infallible>(())
            });
        }
        let room = self.log.try_room();
        self.end(room);
    }

    /// Forwards the complete lines, and keeps the beginning of the next.
    fn take(&mut self, bytes: &[u8], room: Option<Room>) {
        self.tail.push(bytes);
        self.line.extend_from_slice(bytes);
        let complete = match self.line.iter().rposition(|byte| *byte == b'\n') {
            Some(at) => at + 1,
            None if self.line.len() >= PIECE_BYTES => self.line.len(),
            None => return,
        };
        let rest = self.line.split_off(complete);
        let lines = std::mem::replace(&mut self.line, rest);
        if let Some(room) = room {
            self.log.output(lines, room);
        }
    }

    /// Forwards the last line, which has no line break.
    fn end(&mut self, room: Option<Room>) {
        let mut line = std::mem::take(&mut self.line);
        if let Some(room) = room.filter(|_| !line.is_empty()) {
            line.push(b'\n');
            self.log.output(line, room);
        }
    }
}
