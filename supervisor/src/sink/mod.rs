//! Where do a run's data go? Through one [`Outlet`]: a [`Sink`] turns what comes into bytes, a
//! [`writer`] thread writes them.

mod jsonl;
mod lines;
mod raw;
mod text;
pub mod writer;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

use tokio::sync::Notify;

use self::{jsonl::Jsonl, raw::Raw, text::Text, writer::Writer};
pub use self::{lines::Held, writer::Stream};
use crate::{
    event::{Ended, Event, WorkerId},
    settings::Output,
};

/// Whose output it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which worker's.
    pub worker: WorkerId,
    /// Its process.
    pub pid: i32,
    /// Which of its streams.
    pub stream: Stream,
}

/// A form for what a run puts out: appends bytes to what goes to the stream it names.
pub trait Sink: fmt::Debug {
    /// A piece of a worker's output; `held` keeps what is not yet a line.
    fn output(&self, origin: Origin, piece: &[u8], held: &mut Held, out: &mut Vec<u8>);

    /// The end of a worker's stream: what is held comes out.
    fn output_ended(&self, origin: Origin, held: &mut Held, out: &mut Vec<u8>);

    /// The stream of ours that a stream of a worker goes to.
    fn target(&self, stream: Stream) -> Stream;

    /// Something happened; for sinks of records.
    fn event(&self, event: &Event, out: &mut Vec<u8>);

    /// How a slot ended up: the chapter's `Task 1 (PID n) exited with code c`.
    fn task(&self, ended: &Ended, out: &mut Vec<u8>);
}

/// The way out.
#[derive(Debug)]
pub struct Outlet {
    sink: Box<dyn Sink>,
    writer: Writer,
    /// One for all reads: an idle worker holds no memory of ours.
    buffer: RefCell<Vec<u8>>,
    /// Streams of ended workers that still wait for room, and how many may.
    lingering: Cell<u32>,
    lingering_max: u32,
    settled: Notify,
}

/// No piece of output is longer, so that no worker has the loop for itself.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

impl Outlet {
    /// A way out of the form asked for, for so many workers at a time.
    #[must_use]
    pub fn new(output: Output, workers: u32, writer: Writer) -> Self {
        let sink: Box<dyn Sink> = match output {
            Output::Lines { timestamps } => Box::new(Text::new(timestamps)),
            Output::Raw => Box::new(Raw),
            Output::Jsonl => Box::new(Jsonl),
        };
        let buffer = RefCell::new(vec![0; PIECE_BYTES]);
        // Both streams of one former life in each slot, and of a few more.
        let lingering_max = (workers + 32) * 2;
        let (lingering, settled) = (Cell::new(0), Notify::new());
        Self { sink, writer, buffer, lingering, lingering_max, settled }
    }

    /// The thread that writes.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until the last output of every worker that ended is on its way.
    pub async fn settled(&self) {
        while self.lingering.get() > 0 {
            self.settled.notified().await;
        }
    }

    /// Tells the sink what happened.
    pub fn event(&self, event: &Event) {
        self.push(Stream::Stdout, |out| self.sink.event(event, out));
    }

    /// Says how a slot ended up.
    pub fn task(&self, ended: &Ended) {
        self.push(Stream::Stdout, |out| self.sink.task(ended, out));
    }

    pub(crate) fn output(&self, origin: Origin, piece: &[u8], held: &mut Held) {
        let target = self.sink.target(origin.stream);
        self.push(target, |out| self.sink.output(origin, piece, held, out));
    }

    pub(crate) fn output_ended(&self, origin: Origin, held: &mut Held) {
        let target = self.sink.target(origin.stream);
        self.push(target, |out| self.sink.output_ended(origin, held, out));
    }

    pub(crate) fn with_buffer<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.buffer.borrow_mut())
    }

    /// Waits until the writer has caught up.
    pub(crate) async fn room(&self) {
        self.writer.room().await;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// A place to wait in for a stream whose worker has ended; `None` where too many wait.
    pub(crate) fn linger(self: &Rc<Self>) -> Option<Lingering> {
        let waiting = self.lingering.get();
        (waiting < self.lingering_max).then(|| {
            self.lingering.set(waiting + 1);
            Lingering(Rc::clone(self))
        })
    }

    fn push(&self, stream: Stream, fill: impl FnOnce(&mut Vec<u8>)) {
        let mut out = Vec::new();
        fill(&mut out);
        self.writer.push(stream, out);
    }
}

/// One of the places, given back when dropped.
#[derive(Debug)]
pub(crate) struct Lingering(Rc<Outlet>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
        self.0.settled.notify_one();
    }
}
