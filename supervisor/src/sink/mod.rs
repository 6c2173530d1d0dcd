//! Where do a run's data go? Through one [`Outlet`]: a [`Sink`] turns what comes into bytes, a
//! [`writer`] thread writes them.

mod escape;
mod jsonl;
mod lines;
mod raw;
mod text;
pub mod writer;

use std::{
    cell::{Cell, RefCell},
    fmt,
};

pub use self::{escape::visible, lines::Held, writer::Stream};
use self::{jsonl::Jsonl, raw::Raw, text::Text, writer::Writer};
use crate::{
    event::{Event, WorkerId},
    observe::board::Row,
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
    fn task(&self, row: &Row, out: &mut Vec<u8>);
}

/// The way out.
#[derive(Debug)]
pub struct Outlet {
    sink: Box<dyn Sink>,
    writer: Writer,
    /// One for all reads: an idle worker holds no memory of ours.
    buffer: RefCell<Vec<u8>>,
    lingering: Cell<u32>,
}

/// Pieces are read into a buffer of this size.
const BUFFER_BYTES: usize = 16 << 10;
/// So many streams of ended workers may wait for a reader that has stopped.
const LINGERING_MAX: u32 = 64;

impl Outlet {
    /// A way out of the form asked for.
    #[must_use]
    pub fn new(output: Output, writer: Writer) -> Self {
        let sink: Box<dyn Sink> = match output {
            Output::Lines { timestamps } => Box::new(Text::new(timestamps)),
            Output::Raw => Box::new(Raw),
            Output::Jsonl => Box::new(Jsonl),
        };
        let buffer = RefCell::new(vec![0; BUFFER_BYTES]);
        Self { sink, writer, buffer, lingering: Cell::new(0) }
    }

    /// The thread that writes.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until all is written.
    pub async fn flushed(&self) {
        self.writer.flushed().await;
    }

    /// Tells the sink what happened.
    pub fn event(&self, event: &Event) {
        self.push(Stream::Stdout, |out| self.sink.event(event, out));
    }

    /// Says how a slot ended up.
    pub fn task(&self, row: &Row) {
        self.push(Stream::Stdout, |out| self.sink.task(row, out));
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
    pub(crate) fn linger(self: &std::rc::Rc<Self>) -> Option<Lingering> {
        let waiting = self.lingering.get();
        (waiting < LINGERING_MAX).then(|| {
            self.lingering.set(waiting + 1);
            Lingering(std::rc::Rc::clone(self))
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
pub(crate) struct Lingering(std::rc::Rc<Outlet>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
    }
}
