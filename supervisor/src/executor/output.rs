//! Forwards a worker's stdout and stderr to the outlet.
//!
//! Each stream is read when it has data and the outlet has room, at most one piece at a time, so
//! that a flood of output slows down only the worker that writes it.

use std::{cell::RefCell, io, rc::Rc};

use tokio::net::unix::pipe::Receiver;

use super::connection::Connection;
use crate::sink::{LineBuffer, Origin, Outlet, PIECE_BYTES};
use process::descriptors::{Tail, bytes_waiting};

/// One output stream of one worker.
#[derive(Debug)]
pub(super) struct OutputStream {
    pipe: Receiver,
    origin: Origin,
    outlet: Rc<Outlet>,
    /// The connection that knows which job the output belongs to.
    connection: Option<Rc<Connection>>,
    state: RefCell<State>,
}

#[derive(Debug)]
struct State {
    has_ended: bool,
    /// The beginning of a line that is not complete yet.
    buffer: LineBuffer,
    /// The end of the output since the last reply; `None` where it is not needed as evidence.
    tail: Option<Tail>,
    /// Sequence number of the job that ran when the pipe was last known to be empty.
    empty_at: u64,
    /// Whether the stream has ever carried output.
    has_printed: bool,
}

impl OutputStream {
    /// Forwards `pipe` to `outlet`, labelled with `origin`; keeps the tail if `keeps_tail`.
    pub(super) fn new(
        pipe: Receiver,
        origin: Origin,
        outlet: Rc<Outlet>,
        keeps_tail: bool,
        connection: Option<Rc<Connection>>,
    ) -> Self {
        let state = RefCell::new(State {
            has_ended: false,
            buffer: LineBuffer::default(),
            tail: keeps_tail.then(Tail::default),
            empty_at: 0,
            has_printed: false,
        });
        Self { pipe, origin, outlet, connection, state }
    }

    /// Waits for output and forwards one piece. Never returns once the stream has ended.
    /// Cancelling the wait loses no output.
    pub(super) async fn forward(&self) {
        if self.has_ended() {
            std::future::pending::<()>().await;
        }
        // An error shows at the read.
        let _ = self.pipe.readable().await;
        self.outlet.room().await;
        if matches!(self.read(PIECE_BYTES), Ok(0)) {
            self.end();
        }
        // Waiting for readiness does not use up the task's budget in the runtime. Without this
        // yield, a flood would keep signals and other workers from their turn.
        tokio::task::yield_now().await;
    }

    /// Forwards the output that the worker wrote before the reply that was just read, while the
    /// job it belongs to is still known. Costs no system call unless the runtime has seen output.
    pub(super) fn catch_up(&self) {
        // Reads one piece even if the outlet has no room: this runs after every reply, and there
        // is rarely any output.
        while !self.has_ended()
            && self.read(PIECE_BYTES).is_ok_and(|length| length > 0)
            && self.outlet.has_room()
        {}
    }

    /// Remembers the running job if the pipe is empty: output that comes later, and while that
    /// job runs, belongs to it. Does nothing for a worker that has never printed.
    pub(super) fn note_running_job(&self) {
        let Some(connection) = &self.connection else { return };
        let mut state = self.state.borrow_mut();
        if !state.has_printed {
            return;
        }
        // In this order: a job that starts in between makes the note too old, never too new.
        let running = connection.running();
        if bytes_waiting(&self.pipe) == 0 {
            state.empty_at = running;
        }
    }

    /// Forwards the last output of a worker that has ended. A task forwards what the outlet has
    /// no room for now, so that a slow reader delays no restart. If too many such tasks wait
    /// already, the output is dropped and counted.
    ///
    /// This does not wait for the end of the stream, because a process that the worker left
    /// behind may hold it open.
    pub(super) fn finish(self: &Rc<Self>) {
        let mut left = if self.has_ended() { 0 } else { bytes_waiting(&self.pipe) };
        while left > 0 && self.outlet.has_room() {
            left = left.saturating_sub(self.read_waiting(left));
        }
        if left == 0 {
            return self.end();
        }
        let Some(lingering) = self.outlet.linger() else {
            self.outlet.writer().count_dropped(left);
            return self.end();
        };
        let stream = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let _lingering = lingering;
            while left > 0 {
                stream.outlet.room().await;
                left = left.saturating_sub(stream.read_waiting(left));
            }
            stream.end();
        });
    }

    /// Reads one piece of the `waiting` bytes in the pipe and returns its length. Returns `waiting`
    /// if the read fails, because then there are none.
    fn read_waiting(&self, waiting: usize) -> usize {
        self.read(waiting.min(PIECE_BYTES)).ok().filter(|length| *length > 0).unwrap_or(waiting)
    }

    /// The end of the output since the last reply, including what is still in the pipe.
    pub(super) fn tail(&self) -> Vec<u8> {
        let state = self.state.borrow();
        let pipe = (!state.has_ended).then_some(&self.pipe);
        state.tail.as_ref().map(|tail| tail.with_waiting(pipe)).unwrap_or_default()
    }

    /// Whether there was output since the last reply.
    pub(super) fn has_tail(&self) -> bool {
        self.state.borrow().tail.as_ref().is_some_and(|tail| !tail.is_empty())
    }

    /// Forgets the tail, because another job begins.
    pub(super) fn clear_tail(&self) {
        if let Some(tail) = &mut self.state.borrow_mut().tail {
            tail.clear();
        }
    }

    fn has_ended(&self) -> bool {
        self.state.borrow().has_ended
    }

    /// Reads and forwards one piece and returns its length, which is 0 at the end of the stream.
    ///
    /// # Errors
    /// `WouldBlock` if the pipe is empty.
    fn read(&self, bytes_max: usize) -> io::Result<usize> {
        self.outlet.with_buffer(|buffer| {
            let piece = &mut buffer[..bytes_max];
            // Before the read, which empties the pipe if it is short: see `note_running_job`.
            let running = self.connection.as_ref().map(|connection| connection.running());
            let length = self.pipe.try_read(piece)?;
            let state = &mut *self.state.borrow_mut();
            if let Some(tail) = &mut state.tail {
                tail.push(&piece[..length]);
            }
            let origin = self.origin(state.empty_at);
            self.outlet.output(origin, &piece[..length], &mut state.buffer);
            state.has_printed = true;
            if let Some(running) = running.filter(|_| length < bytes_max) {
                state.empty_at = running;
            }
            Ok(length)
        })
    }

    /// The label for output that was written since job `since` started.
    fn origin(&self, since: u64) -> Origin {
        let connection = self.connection.as_ref();
        let job = connection.and_then(|connection| connection.job_of_output(since));
        Origin { job, ..self.origin }
    }

    fn end(&self) {
        let state = &mut *self.state.borrow_mut();
        if !state.has_ended {
            state.has_ended = true;
            self.outlet.output_ended(self.origin(state.empty_at), &mut state.buffer);
        }
    }
}
