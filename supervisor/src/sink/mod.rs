//! Output of a run. The [`Outlet`] passes workers' output and the outcomes of jobs to a sink,
//! which turns them into bytes, and the bytes to a [`writer`] thread. [`Reports`] writes files
//! beside stdout through the same thread.

mod archive;
mod chunk;
mod command_output;
mod declared;
mod jsonl;
mod line_buffer;
pub mod order;
mod outages;
mod raw;
mod recent;
pub mod reports;
mod results;
mod silent;
mod spill;
mod spool;
mod status_line;
mod text;
pub mod writer;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
};

use tokio::sync::{Notify, broadcast};

pub use self::{archive::Archive, line_buffer::LineBuffer, reports::Reports, writer::Stream};
use self::{
    chunk::Pieces,
    command_output::{CommandOutput, Terminals},
    declared::Treatment,
    jsonl::Jsonl,
    raw::Raw,
    recent::Recent,
    results::{Results, ResultsError},
    silent::Silent,
    spool::Spool,
    text::Text,
    writer::Writer,
};
use crate::{
    model::OutputPiece,
    settings::{Jobs, Output, Settings},
};
use ::text::utf8::from_character;
use pool::{
    event::{Ended, Event, WorkerId},
    job::{AttemptEnd, Outcome},
};

/// Where a piece of output comes from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// The worker that wrote it.
    pub worker: WorkerId,
    /// The worker's process.
    pub pid: i32,
    /// The stream that it was written to.
    pub stream: Stream,
    /// The number of the job that wrote it, if that is known.
    pub job: Option<u64>,
}

/// A format of the output. Each method appends bytes to `out`.
trait Sink: fmt::Debug {
    /// Formats a piece of a worker's output. `buffer` keeps an incomplete line between pieces.
    fn output(&self, origin: Origin, piece: &[u8], buffer: &mut LineBuffer, out: &mut Vec<u8>);

    /// Formats the end of a worker's stream: the line that `buffer` keeps.
    fn output_ended(&self, origin: Origin, buffer: &mut LineBuffer, out: &mut Vec<u8>);

    /// The supervisor's stream that a stream of a worker goes to.
    fn target(&self, stream: Stream) -> Stream;

    /// Formats the outcome of a job for stdout.
    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>);

    /// Whether outcomes may have a part for stderr.
    fn has_stderr(&self) -> bool {
        false
    }

    /// Formats the part of an outcome for stderr.
    fn outcome_stderr(&self, _: &Outcome, _: &mut Vec<u8>) {}

    /// The output of a command, for stdout and stderr, if memory does not hold all of it and the
    /// format does not need it whole.
    fn long_outcome(&self, _: &Outcome) -> Option<[Box<dyn Pieces>; 2]> {
        None
    }

    /// Formats an event, in formats that have records of events.
    fn event(&self, event: &Event, out: &mut Vec<u8>);

    /// Formats how the last worker of a slot ended, once the run is over.
    fn task(&self, ended: &Ended, out: &mut Vec<u8>);
}

/// The output of a run on its way to the writer.
#[derive(Debug)]
pub struct Outlet {
    sink: Box<dyn Sink>,
    writer: Writer,
    results: RefCell<Results>,
    treatment: Treatment,
    terminals: Terminals,
    spool: RefCell<Spool>,
    recent: RefCell<Recent>,
    /// One buffer for all reads, so that an idle worker costs no memory here.
    buffer: RefCell<Vec<u8>>,
    /// Streams of ended workers that still wait for room.
    lingering: Cell<u32>,
    lingering_max: u32,
    /// Wakes [`settled`](Self::settled) when such a stream is done.
    settled: Notify,
    /// Wakes [`takes_outcomes`](Self::takes_outcomes) when outcomes arrive that may release others.
    released: Notify,
}

/// The longest piece of output, in bytes, so that no worker keeps the loop busy alone.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

impl Outlet {
    /// The outlet for these settings. Outcomes that wait for their turn are read from the archive,
    /// if there is one.
    #[must_use]
    pub fn new(settings: &Settings, writer: Writer, archive: Option<Box<dyn Archive>>) -> Self {
        let jobs = settings.jobs.as_ref();
        let has_jobs = jobs.is_some();
        let runs_commands = jobs.is_some_and(|jobs| jobs.commands.is_some());
        let sink: Box<dyn Sink> = match settings.output {
            Output::Grouped { tag } => Box::new(CommandOutput::new(tag, false)),
            // Launchers cut and tag.
            Output::Lines { .. } if runs_commands => Box::new(CommandOutput::new(false, false)),
            Output::Raw if runs_commands => Box::new(CommandOutput::new(false, true)),
            Output::Lines { timestamps, tag } => Box::new(Text::new(timestamps, tag, has_jobs)),
            Output::Raw => Box::new(Raw::new(has_jobs)),
            Output::None | Output::Files => Box::new(Silent::new(has_jobs)),
            Output::Jsonl => Box::new(Jsonl { limits: settings.program.limits.clone() }),
        };
        let buffer = RefCell::new(vec![0; PIECE_BYTES]);
        // Both streams of one former worker in each slot, and of a few more.
        let lingering_max = (settings.workers.get() + 32) * 2;
        let (lingering, settled) = (Cell::new(0), Notify::new());
        let keep_order = jobs.is_some_and(|jobs: &Jobs| jobs.keep_order);
        let results = RefCell::new(Results::new(keep_order, sink.has_stderr(), archive));
        Self {
            sink,
            writer,
            results,
            treatment: Treatment::of(settings.output, runs_commands),
            terminals: Terminals::find(),
            spool: RefCell::default(),
            recent: RefCell::default(),
            buffer,
            lingering,
            lingering_max,
            settled,
            released: Notify::new(),
        }
    }

    /// The writer thread.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until all output of ended workers, and all outcomes that are due, are with the writer.
    pub async fn settled(&self) {
        while self.lingering.get() > 0 {
            self.settled.notified().await;
        }
        while self.release() {
            self.writer.room().await;
        }
    }

    /// Writes the record of an event, in formats that have one.
    pub fn event(&self, event: &Event) {
        self.push(Stream::Stdout, |out| self.sink.event(event, out));
    }

    /// Writes how the last worker of a slot ended.
    pub fn task(&self, ended: &Ended) {
        self.push(Stream::Stdout, |out| self.sink.task(ended, out));
    }

    /// Recent output of workers, and a receiver of what they write from now on.
    #[must_use]
    pub fn recent(&self) -> (Vec<OutputPiece>, broadcast::Receiver<OutputPiece>) {
        self.recent.borrow().follow()
    }

    /// Keeps the end of what commands wrote as recent output, if it was captured.
    fn keep_captured(&self, outcomes: &[Outcome]) {
        const BYTES_MAX: usize = 4096;
        for outcome in outcomes {
            let Some(last) = &outcome.last else { continue };
            let AttemptEnd::Ran(ran) = &last.end else { continue };
            let streams =
                [(Stream::Stdout, ran.output.stdout()), (Stream::Stderr, ran.output.stderr())];
            for (stream, bytes) in streams.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
                let (worker, pid, job) = (last.worker, last.pid, Some(outcome.id));
                let end = from_character(&bytes[bytes.len().saturating_sub(BYTES_MAX)..]);
                self.recent.borrow_mut().push(Origin { worker, pid, stream, job }, end);
            }
        }
    }

    /// Writes outcomes of jobs. None is ever dropped: the run starts no more jobs while this
    /// [is full](Self::is_full).
    pub fn outcomes(&self, outcomes: &[Outcome]) {
        self.keep_captured(outcomes);
        let mut results = self.results.borrow_mut();
        results.put(outcomes, self.sink.as_ref(), &self.writer);
        results.release(self.sink.as_ref(), &self.writer);
        self.released.notify_waiters();
    }

    /// Writes an outcome in this turn that a previous run may have written already.
    pub fn outcome_again(&self, place: u64, id: u64) {
        self.results.borrow_mut().put_again(place, id);
    }

    /// Passes outcomes that are due to the writer, while it has room. Returns whether some are left.
    pub fn release(&self) -> bool {
        self.results.borrow_mut().release(self.sink.as_ref(), &self.writer)
    }

    /// The jobs whose outcomes were written since the last call. Only with an archive.
    pub fn take_written(&self) -> Vec<u64> {
        let mut results = self.results.borrow_mut();
        results.sent().map(|sent| sent.take(&self.writer)).unwrap_or_default()
    }

    /// Closes the archive: everything that comes from it has been read.
    pub fn close_archive(&self) {
        self.results.borrow_mut().close();
    }

    /// Waits until more outcomes are written; for ever if none is on its way.
    pub async fn written(&self) {
        let next = self.results.borrow_mut().sent().and_then(|sent| sent.next());
        match next {
            Some(chunks) => self.writer.until_written(chunks).await,
            None => std::future::pending().await,
        }
    }

    /// Whether the run should start no more jobs.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.writer.has_room() || self.results.borrow().is_full()
    }

    /// Waits until the run may start jobs again.
    pub async fn takes_outcomes(&self) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Enabled before the check, so that no notification in between is lost.
            released.as_mut().enable();
            self.room().await;
            if !self.is_full() {
                return;
            }
            // The writer has room, so outcomes wait for the turn of a job.
            if self.writer.has_room() {
                released.await;
            }
        }
    }

    /// Why outcomes cannot be written; returned once each time it happens.
    pub fn results_failure(&self) -> Option<ResultsError> {
        let spilled = self.spool.borrow_mut().take_failure().map(ResultsError::from);
        spilled.or_else(|| self.results.borrow_mut().take_failure())
    }

    /// Writes a piece of a worker's output.
    pub(crate) fn output(&self, origin: Origin, piece: &[u8], buffer: &mut LineBuffer) {
        let target = self.sink.target(origin.stream);
        self.recent.borrow_mut().push(origin, piece);
        self.push(target, |out| self.sink.output(origin, piece, buffer, out));
    }

    /// Writes what is left of a worker's stream that has ended.
    pub(crate) fn output_ended(&self, origin: Origin, buffer: &mut LineBuffer) {
        let target = self.sink.target(origin.stream);
        self.push(target, |out| self.sink.output_ended(origin, buffer, out));
    }

    /// Lends the shared read buffer, of [`PIECE_BYTES`].
    pub(crate) fn with_buffer<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.buffer.borrow_mut())
    }

    /// Waits until the writer has room, after all outcomes that are due.
    pub(crate) async fn room(&self) {
        loop {
            self.writer.room().await;
            if !self.release() && self.writer.has_room() {
                return;
            }
        }
    }

    /// Whether the writer has room for output of workers.
    pub(crate) fn has_room(&self) -> bool {
        self.writer.has_room()
    }

    /// A permit to wait for room after the worker has ended; `None` if too many streams wait.
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

/// A permit to wait for room; the next stream gets it when this is dropped.
#[derive(Debug)]
pub(crate) struct Lingering(Rc<Outlet>);

impl Drop for Lingering {
    fn drop(&mut self) {
        self.0.lingering.set(self.0.lingering.get() - 1);
        self.0.settled.notify_one();
    }
}
