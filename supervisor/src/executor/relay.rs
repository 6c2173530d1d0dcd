//! How does a worker's output reach the sink? One stream at a time: read when there is
//! something and room for it, never more than a piece at a time, so that a flood stalls only
//! the worker that makes it.

use std::{
    cell::{Cell, RefCell},
    io,
    rc::Rc,
};

use tokio::net::unix::pipe::Receiver;

use super::line::Line;
use crate::sink::{Held, Origin, Outlet, PIECE_BYTES};
use process::descriptors::{bytes_waiting, look_ahead};

/// What a program says when it dies of want of memory is within its last words; and they are
/// what a job that killed its worker is parked with.
const LAST_WORDS_BYTES: usize = 8 << 10;

/// One stream of one worker.
#[derive(Debug)]
pub(super) struct Relay {
    pipe: Receiver,
    has_ended: Cell<bool>,
    origin: Origin,
    held: RefCell<Held>,
    outlet: Rc<Outlet>,
    /// Kept only where they can be evidence.
    last_words: Option<RefCell<Vec<u8>>>,
    /// Whose jobs the output is about.
    line: Option<Rc<Line>>,
    /// The job that ran, as the recorder has it, when nothing was left to be read.
    quiet_at: Cell<u64>,
    /// Whether there ever was any output.
    has_spoken: Cell<bool>,
}

impl Relay {
    pub(super) fn new(
        pipe: Receiver,
        origin: Origin,
        outlet: Rc<Outlet>,
        keeps_last_words: bool,
        line: Option<Rc<Line>>,
    ) -> Self {
        let last_words = keeps_last_words.then(RefCell::default);
        let (has_ended, held) = (Cell::new(false), RefCell::default());
        let (quiet_at, has_spoken) = (Cell::new(0), Cell::new(false));
        Self { pipe, has_ended, origin, held, outlet, last_words, line, quiet_at, has_spoken }
    }

    /// Waits for output and passes on a piece of it. Never returns once the stream has ended.
    ///
    /// Cancelled at any point, it has lost nothing.
    pub(super) async fn pass_on(&self) {
        if self.has_ended.get() {
            std::future::pending::<()>().await;
        }
        // An error shows at the read.
        let _ = self.pipe.readable().await;
        self.outlet.room().await;
        if matches!(self.read(PIECE_BYTES), Ok(0)) {
            self.end();
        }
        // Readiness costs no budget of the runtime's: without this, a flood would be
        // read on and on, and signals and other workers would wait.
        tokio::task::yield_now().await;
    }

    /// The worker has answered: what is known to have come before that is passed on now, while
    /// the job it is about is still known. A system call only where something came.
    pub(super) fn catch_up(&self) {
        // A first piece even where there is no room: it is looked for after every reply, and
        // hardly ever there.
        while !self.has_ended.get()
            && self.read(PIECE_BYTES).is_ok_and(|length| length > 0)
            && self.outlet.has_room()
        {}
    }

    /// Takes note of the job that runs, if nothing of one before it is still to be read: what
    /// comes next is then about it, for as long as it runs. Not for a worker that never prints.
    pub(super) fn note_running(&self) {
        let Some(line) = self.line.as_ref().filter(|_| self.has_spoken.get()) else { return };
        let running = line.running();
        if bytes_waiting(&self.pipe) == 0 {
            self.quiet_at.set(running);
        }
    }

    /// The worker has ended: passes on the last of its output. What there is no room for now, a
    /// task of its own passes on later, so that a stopped reader holds up no restart. Where too
    /// many such tasks wait already, it is dropped and counted.
    ///
    /// Not up to the end of the stream: a process that the worker left behind may hold it open.
    pub(super) fn finish(self: &Rc<Self>) {
        let mut left = if self.has_ended.get() { 0 } else { bytes_waiting(&self.pipe) };
        while left > 0 && self.outlet.has_room() {
            left = left.saturating_sub(self.read_some_of(left));
        }
        if left == 0 {
            return self.end();
        }
        let Some(lingering) = self.outlet.linger() else {
            self.outlet.writer().count_dropped(left);
            return self.end();
        };
        let relay = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let _lingering = lingering;
            while left > 0 {
                relay.outlet.room().await;
                left = left.saturating_sub(relay.read_some_of(left));
            }
            relay.end();
        });
    }

    /// Reads a piece of what surely waits; all of it where that fails, since then none does.
    fn read_some_of(&self, waiting: usize) -> usize {
        self.read(waiting.min(PIECE_BYTES)).ok().filter(|length| *length > 0).unwrap_or(waiting)
    }

    /// The last of the output since they were last forgotten, with what waits in the pipe.
    pub(super) fn last_words(&self) -> Vec<u8> {
        let Some(last) = &self.last_words else { return Vec::new() };
        let mut last = last.borrow().clone();
        if !self.has_ended.get() {
            // The very last ones may wait in the pipe for room.
            last.extend(look_ahead(&self.pipe).unwrap_or_default());
        }
        let surplus = last.len().saturating_sub(LAST_WORDS_BYTES);
        last.drain(..surplus);
        last
    }

    /// Whether there was output since they were last forgotten.
    pub(super) fn has_last_words(&self) -> bool {
        self.last_words.as_ref().is_some_and(|last| !last.borrow().is_empty())
    }

    /// Another job begins.
    pub(super) fn forget_last_words(&self) {
        if let Some(last) = &self.last_words {
            last.borrow_mut().clear();
        }
    }

    /// Reads a piece and passes it on; 0 at the end of the stream. Nothing to read is an error.
    fn read(&self, bytes_max: usize) -> io::Result<usize> {
        let length = self.outlet.with_buffer(|buffer| {
            let piece = &mut buffer[..bytes_max];
            let before = self.line.as_ref().map(|line| line.running());
            let length = self.pipe.try_read(piece)?;
            if let Some(last) = &self.last_words {
                let mut last = last.borrow_mut();
                last.extend_from_slice(&piece[..length]);
                let surplus = last.len().saturating_sub(LAST_WORDS_BYTES);
                last.drain(..surplus);
            }
            self.outlet.output(self.origin(), &piece[..length], &mut self.held.borrow_mut());
            self.has_spoken.set(true);
            if let Some(running) = before.filter(|_| length < bytes_max) {
                self.quiet_at.set(running);
            }
            io::Result::Ok(length)
        })?;
        Ok(length)
    }

    fn origin(&self) -> Origin {
        Origin {
            job: self.line.as_ref().and_then(|line| line.speaking_job(self.quiet_at.get())),
            ..self.origin
        }
    }

    fn end(&self) {
        if !self.has_ended.replace(true) {
            self.outlet.output_ended(self.origin(), &mut self.held.borrow_mut());
        }
    }
}
