//! How does a worker's output reach the sink? One stream at a time: read when there is
//! something and room for it, never more than a piece at a time, so that a flood stalls only
//! the worker that makes it.

use std::{io, rc::Rc};

use tokio::net::unix::pipe::Receiver;

use crate::{
    os::descriptors::{bytes_waiting, look_ahead},
    sink::{Held, Origin, Outlet, PIECE_BYTES},
};

/// What a program says when it dies of want of memory is within its last words.
const LAST_WORDS_BYTES: usize = 8 << 10;

/// One stream of one worker.
#[derive(Debug)]
pub(super) struct Relay {
    /// `None` once it has ended.
    pipe: Option<Receiver>,
    origin: Origin,
    held: Held,
    outlet: Rc<Outlet>,
    /// Kept only where they can be evidence.
    last_words: Option<Vec<u8>>,
}

impl Relay {
    pub(super) fn new(
        pipe: Receiver,
        origin: Origin,
        outlet: Rc<Outlet>,
        keep_last_words: bool,
    ) -> Self {
        let last_words = keep_last_words.then(Vec::new);
        Self { pipe: Some(pipe), origin, held: Held::default(), outlet, last_words }
    }

    /// Waits for output and passes on a piece of it. Never returns once the stream has ended.
    ///
    /// Cancelled at any point, it has lost nothing.
    pub(super) async fn pass_on(&mut self) {
        match &self.pipe {
            None => std::future::pending().await,
            Some(pipe) => {
                // An error shows at the read.
                let _ = pipe.readable().await;
                self.outlet.room().await;
                if matches!(self.read(PIECE_BYTES), Ok(0)) {
                    self.end();
                }
                // Readiness costs no budget of the runtime's: without this, a flood would be
                // read on and on, and signals and other workers would wait.
                tokio::task::yield_now().await;
            }
        }
    }

    /// Passes on what the worker left in the pipe when it ended, as far as there is room. How
    /// many bytes there is no room for yet.
    ///
    /// Not up to the end of the stream: a process that the worker left behind may hold it open.
    fn catch_up(&mut self) -> usize {
        let Some(pipe) = &self.pipe else { return 0 };
        let mut left = bytes_waiting(pipe);
        while left > 0 && self.outlet.has_room() {
            left = left.saturating_sub(self.read_some_of(left));
        }
        left
    }

    /// The worker has ended: passes on the last of its output. What there is no room for now, a
    /// task of its own passes on later, so that a stopped reader holds up no restart. Where too
    /// many such tasks wait already, it is dropped and counted.
    pub(super) fn finish(mut self) {
        let mut left = self.catch_up();
        if left == 0 {
            return self.end();
        }
        let Some(lingering) = self.outlet.linger() else {
            self.outlet.writer().count_dropped(left);
            return self.end();
        };
        tokio::task::spawn_local(async move {
            let _lingering = lingering;
            while left > 0 {
                self.outlet.room().await;
                left = left.saturating_sub(self.read_some_of(left));
            }
            self.end();
        });
    }

    /// Reads a piece of what surely waits; all of it where that fails, since then none does.
    fn read_some_of(&mut self, waiting: usize) -> usize {
        self.read(waiting.min(PIECE_BYTES)).ok().filter(|length| *length > 0).unwrap_or(waiting)
    }

    /// Whether the last words say that memory ran out.
    pub(super) fn says_out_of_memory(&self) -> bool {
        const WORDS: [&[u8]; 7] = [
            b"memory allocation of",
            b"MemoryError",
            b"OutOfMemoryError",
            b"out of memory",
            b"Out of memory",
            b"Cannot allocate memory",
            b"bad_alloc",
        ];
        let Some(mut last) = self.last_words.clone() else { return false };
        // The very last ones may wait in the pipe for room.
        last.extend(self.pipe.as_ref().map(look_ahead).and_then(Result::ok).unwrap_or_default());
        WORDS.iter().any(|word| last.windows(word.len()).any(|part| part == *word))
    }

    /// Reads a piece and passes it on; 0 at the end of the stream. Nothing to read is an error.
    fn read(&mut self, bytes_max: usize) -> io::Result<usize> {
        let Some(pipe) = &self.pipe else { return Ok(0) };
        let length = self.outlet.with_buffer(|buffer| {
            let piece = &mut buffer[..bytes_max];
            let length = pipe.try_read(piece)?;
            if let Some(last) = &mut self.last_words {
                last.extend_from_slice(&piece[..length]);
                let surplus = last.len().saturating_sub(LAST_WORDS_BYTES);
                last.drain(..surplus);
            }
            self.outlet.output(self.origin, &piece[..length], &mut self.held);
            io::Result::Ok(length)
        })?;
        Ok(length)
    }

    fn end(&mut self) {
        self.pipe = None;
        self.outlet.output_ended(self.origin, &mut self.held);
    }
}
