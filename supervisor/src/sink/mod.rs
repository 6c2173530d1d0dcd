//! Where do a run's data go? Through one [`Outlet`]: a [`Sink`] turns what comes into bytes, a
//! [`writer`] thread writes them.

mod archive;
mod command_output;
mod jsonl;
mod lines;
pub mod order;
mod raw;
mod recent;
pub mod reports;
mod results;
mod silent;
mod spill;
mod status_line;
mod text;
pub mod writer;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    sync::Arc,
    time::Duration,
};

use tokio::sync::{Notify, broadcast};

pub use self::{archive::Archive, lines::Held, writer::Stream};
use self::{
    command_output::CommandOutput,
    jsonl::Jsonl,
    raw::Raw,
    recent::Recent,
    reports::{Report, RunOver},
    results::{Results, ResultsError},
    silent::Silent,
    text::Text,
    writer::Writer,
};
use crate::{
    model::OutputPiece,
    settings::{Jobs, Output, Settings},
};
use pool::{
    event::{Ended, Event, WorkerId},
    job::{AttemptEnd, Outcome},
};
use records::RunInfo;

/// Whose output it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin {
    /// Which worker's.
    pub worker: WorkerId,
    /// Its process.
    pub pid: i32,
    /// Which of its streams.
    pub stream: Stream,
    /// The number of the job it is about, where there is one.
    pub job: Option<u64>,
}

/// A form for what a run puts out: appends bytes to what goes to the stream it names.
pub trait Sink: fmt::Debug {
    /// A piece of a worker's output; `held` keeps what is not yet a line.
    fn output(&self, origin: Origin, piece: &[u8], held: &mut Held, out: &mut Vec<u8>);

    /// The end of a worker's stream: what is held comes out.
    fn output_ended(&self, origin: Origin, held: &mut Held, out: &mut Vec<u8>);

    /// The stream of ours that a stream of a worker goes to.
    fn target(&self, stream: Stream) -> Stream;

    /// How a job ended, for stdout.
    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>);

    /// Whether something of a job's end may be for stderr.
    fn has_stderr(&self) -> bool {
        false
    }

    /// What of it is.
    fn outcome_stderr(&self, _: &Outcome, _: &mut Vec<u8>) {}

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
    results: RefCell<Results>,
    reports: RefCell<Vec<Report>>,
    recent: RefCell<Recent>,
    /// One for all reads: an idle worker holds no memory of ours.
    buffer: RefCell<Vec<u8>>,
    /// Streams of ended workers that still wait for room, and how many may.
    lingering: Cell<u32>,
    lingering_max: u32,
    settled: Notify,
    /// Results came that may let others out.
    released: Notify,
}

/// No piece of output is longer, so that no worker has the loop for itself.
pub(crate) const PIECE_BYTES: usize = 16 << 10;

impl Outlet {
    /// A way out of the form asked for. What waits for its turn is fetched from the archive, if
    /// there is one.
    #[must_use]
    pub fn new(
        settings: &Settings,
        about: &Arc<RunInfo>,
        writer: Writer,
        archive: Option<Box<dyn Archive>>,
    ) -> Self {
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
        // Both streams of one former life in each slot, and of a few more.
        let lingering_max = (settings.workers.get() + 32) * 2;
        let (lingering, settled) = (Cell::new(0), Notify::new());
        let keep_order = jobs.is_some_and(|jobs: &Jobs| jobs.keep_order);
        let results = RefCell::new(Results::new(keep_order, sink.has_stderr(), archive));
        let reports = RefCell::new(reports(settings, about));
        for (number, report) in reports.borrow().iter().enumerate() {
            let mut begin = Vec::new();
            report.begin(&mut begin);
            writer.report(number, &mut begin);
        }
        Self {
            sink,
            writer,
            results,
            reports,
            recent: RefCell::default(),
            buffer,
            lingering,
            lingering_max,
            settled,
            released: Notify::new(),
        }
    }

    /// The thread that writes.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Waits until the last output of every worker that ended, and of every job that could come
    /// out, is on its way.
    pub async fn settled(&self) {
        while self.lingering.get() > 0 {
            self.settled.notified().await;
        }
        while self.release() {
            self.writer.room().await;
        }
    }

    /// Tells the sink what happened, and the reports.
    pub fn event(&self, now: Duration, event: &Event) {
        self.push(Stream::Stdout, |out| self.sink.event(event, out));
        for (number, report) in self.reports.borrow().iter().enumerate() {
            let mut lines = Vec::new();
            report.event(now, event, &mut lines);
            self.writer.report(number, &mut lines);
        }
    }

    /// Says how a slot ended up.
    pub fn task(&self, ended: &Ended) {
        self.push(Stream::Stdout, |out| self.sink.task(ended, out));
    }

    /// What workers have written lately, and what they write from now on.
    #[must_use]
    pub fn recent(&self) -> (Vec<OutputPiece>, broadcast::Receiver<OutputPiece>) {
        self.recent.borrow().follow()
    }

    /// What a command has written that was kept until its end: the end of it.
    fn keep_captured(&self, outcomes: &[Outcome]) {
        const BYTES_MAX: usize = 4096;
        for outcome in outcomes {
            let Some(last) = &outcome.last else { continue };
            let AttemptEnd::Ran(ran) = &last.end else { continue };
            let streams =
                [(Stream::Stdout, ran.output.stdout()), (Stream::Stderr, ran.output.stderr())];
            for (stream, bytes) in streams.into_iter().filter(|(_, bytes)| !bytes.is_empty()) {
                let (worker, pid, job) = (last.worker, last.pid, Some(outcome.id));
                let end = &bytes[bytes.len().saturating_sub(BYTES_MAX)..];
                self.recent.borrow_mut().push(Origin { worker, pid, stream, job }, end);
            }
        }
    }

    /// Puts out how jobs ended. None is lost, however many there are: whoever starts jobs stops
    /// while this [is full](Self::is_full).
    pub fn outcomes(&self, now: Duration, outcomes: &[Outcome]) {
        for (number, report) in self.reports.borrow_mut().iter_mut().enumerate() {
            let mut lines = Vec::new();
            outcomes.iter().for_each(|outcome| report.outcome(now, outcome, &mut lines));
            self.writer.report(number, &mut lines);
        }
        self.keep_captured(outcomes);
        let mut results = self.results.borrow_mut();
        results.put(outcomes, self.sink.as_ref(), &self.writer);
        results.release(self.sink.as_ref(), &self.writer);
        self.released.notify_waiters();
    }

    /// Puts out what was perhaps put out by the run before this one, in this turn.
    pub fn outcome_again(&self, place: u64, id: u64) {
        self.results.borrow_mut().put_again(place, id);
    }

    /// Gives the writer what is due, while it has room. Whether some is left.
    pub fn release(&self) -> bool {
        self.results.borrow_mut().release(self.sink.as_ref(), &self.writer)
    }

    /// The jobs of the archive whose outcomes were written, since this was asked last.
    pub fn take_written(&self) -> Vec<u64> {
        let mut results = self.results.borrow_mut();
        results.sent().map(|sent| sent.take(&self.writer)).unwrap_or_default()
    }

    /// The archive is let go of: all that is told was fetched.
    pub fn close_archive(&self) {
        self.results.borrow_mut().close();
    }

    /// Waits until more of them are; for ever where none is on its way.
    pub async fn written(&self) {
        let next = self.results.borrow_mut().sent().and_then(|sent| sent.next());
        match next {
            Some(chunks) => self.writer.until_written(chunks).await,
            None => std::future::pending().await,
        }
    }

    /// The run is over, and so are the reports.
    pub fn end_reports(&self, over: RunOver) {
        for (number, report) in self.reports.borrow_mut().drain(..).enumerate() {
            let mut end = Vec::new();
            let head = report.end(over, &mut end);
            self.writer.report(number, &mut end);
            if let Some(head) = head {
                self.writer.report_head(number, head);
            }
        }
    }

    /// Whether no more outcomes should come.
    #[must_use]
    pub fn is_full(&self) -> bool {
        !self.writer.has_room() || self.results.borrow().is_full()
    }

    /// Waits until more outcomes may come.
    pub async fn takes_outcomes(&self) {
        loop {
            let released = self.released.notified();
            tokio::pin!(released);
            // Before looking, so that nothing between the look and the wait is missed.
            released.as_mut().enable();
            self.room().await;
            if !self.is_full() {
                return;
            }
            // The writer has room, so it is the order that waits for a job.
            if self.writer.has_room() {
                released.await;
            }
        }
    }

    /// Why outcomes cannot be put out, told once each time it happens.
    pub fn results_failure(&self) -> Option<ResultsError> {
        self.results.borrow_mut().take_failure()
    }

    pub(crate) fn output(&self, origin: Origin, piece: &[u8], held: &mut Held) {
        let target = self.sink.target(origin.stream);
        self.recent.borrow_mut().push(origin, piece);
        self.push(target, |out| self.sink.output(origin, piece, held, out));
    }

    /// Puts out what a worker itself says is a job's output: the job's number, 1 for stdout or 2
    /// for stderr, and the bytes.
    pub(crate) fn declared(&self, worker: WorkerId, pid: i32, output: &[(u64, u8, Vec<u8>)]) {
        for (job, stream, bytes) in output {
            let stream = if *stream == 1 { Stream::Stdout } else { Stream::Stderr };
            let origin = Origin { worker, pid, stream, job: Some(*job) };
            let mut held = Held::default();
            self.output(origin, bytes, &mut held);
            self.output_ended(origin, &mut held);
        }
    }

    pub(crate) fn output_ended(&self, origin: Origin, held: &mut Held) {
        let target = self.sink.target(origin.stream);
        self.push(target, |out| self.sink.output_ended(origin, held, out));
    }

    pub(crate) fn with_buffer<T>(&self, read: impl FnOnce(&mut [u8]) -> T) -> T {
        read(&mut self.buffer.borrow_mut())
    }

    /// Waits until the writer has caught up, also with what is due of the results.
    pub(crate) async fn room(&self) {
        loop {
            self.writer.room().await;
            if !self.release() && self.writer.has_room() {
                return;
            }
        }
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

fn reports(settings: &Settings, about: &Arc<RunInfo>) -> Vec<Report> {
    let commands = settings.jobs.as_ref().and_then(|jobs| jobs.commands.as_ref());
    let template = commands.map(|commands| &commands.template);
    let limits = &settings.program.limits;
    let report = |report| Report::new(report, template.cloned(), limits, about);
    settings.reports.iter().map(report).collect()
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
