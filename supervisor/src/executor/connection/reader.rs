//! The reading half of a connection: the reply pipe and its decoder.

use std::{
    cell::RefCell,
    future::Future,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, ready},
};

use bytes::BufMut;
use protocol::recorder::Recorder;
use tokio::{
    io::{AsyncRead, AsyncReadExt, ReadBuf},
    net::unix::pipe::Receiver,
};

use super::{decode::Received, wire::Replies};
use pool::exit::ProtocolFault;
use process::descriptors::read_waiting;

/// Largest number of bytes that one read takes.
const READ_BYTES: usize = 64 << 10;

/// No reply is shorter than this, its header included.
const REPLY_BYTES_MIN: usize = 24;

/// The buffer that reads go to. All connections share one, so that an idle worker costs no memory.
pub(in super::super) type ReadBuffer = Rc<RefCell<Vec<u8>>>;

/// Allocates the shared buffer.
pub(in super::super) fn read_buffer() -> ReadBuffer {
    Rc::new(RefCell::new(vec![0; READ_BYTES]))
}

/// Reads and decodes what a worker writes to its reply pipe.
#[derive(Debug)]
pub(super) struct Reader {
    pipe: Receiver,
    replies: Replies,
    buffer: ReadBuffer,
}

impl Reader {
    pub(super) fn new(pipe: Receiver, replies: Replies, buffer: ReadBuffer) -> Self {
        Self { pipe, replies, buffer }
    }

    pub(super) fn pipe(&self) -> &Receiver {
        &self.pipe
    }

    pub(super) fn replies(&self) -> &Replies {
        &self.replies
    }

    pub(super) fn replies_mut(&mut self) -> &mut Replies {
        &mut self.replies
    }

    /// Reads once; `None` at the end of the stream. `in_flight` is the number of replies that the
    /// worker owes.
    pub(super) fn poll_receive(
        &mut self,
        cx: &mut Context<'_>,
        in_flight: usize,
        received: &mut Received,
    ) -> Poll<Option<Result<(), ProtocolFault>>> {
        if let Replies::Frames(decoder) = &mut self.replies
            && let Some((buffer, missing)) = decoder.large_frame()
        {
            let mut rest = buffer.limit(missing);
            let read = pin!(self.pipe.read_buf(&mut rest)).poll(cx);
            return match ready!(read) {
                Ok(0) | Err(_) => Poll::Ready(None),
                Ok(bytes) => Poll::Ready(Some(decoder.large_frame_grew(bytes, received))),
            };
        }
        let mut buffer = self.buffer.borrow_mut();
        let mut buffer = ReadBuf::new(&mut buffer);
        match ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut buffer)) {
            Ok(()) if !buffer.filled().is_empty() => {
                // Many short replies may come at once: reserve room for all of them, not step by step.
                let replies_max = buffer.filled().len() / REPLY_BYTES_MIN;
                received.replies.reserve(in_flight.min(replies_max));
                Poll::Ready(Some(self.replies.decode_from_pipe(buffer.filled(), received)))
            }
            Ok(()) | Err(_) => Poll::Ready(None),
        }
    }

    /// Reads what is in the pipe now. Reads past the runtime, which may not know yet that the pipe
    /// is readable.
    ///
    /// # Errors
    /// The worker violated the protocol.
    pub(super) fn drain(&mut self, received: &mut Received) -> Result<(), ProtocolFault> {
        let mut buffer = self.buffer.borrow_mut();
        let replies = &mut self.replies;
        read_waiting(&self.pipe, &mut buffer, |bytes| replies.decode_from_pipe(bytes, received))
    }

    /// Reads all replies that the worker has produced: those in the pipe, and those in its
    /// recorder that it has not written to the pipe yet.
    ///
    /// # Errors
    /// The worker violated the protocol.
    pub(super) fn catch_up(
        &mut self,
        recorder: &Recorder,
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        self.drain(received)?;
        let Replies::Frames(decoder) = &mut self.replies else { return Ok(()) };
        let mut tail = Vec::new();
        match recorder.tail(decoder.position(), &mut tail) {
            Some(()) => decoder.decode_from_recorder(&tail, received),
            // The worker has just written them: the pipe delivers them.
            None => Ok(()),
        }
    }
}
