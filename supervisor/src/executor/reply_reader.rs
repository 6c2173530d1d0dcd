//! Reads a worker's replies and forwards them to the pool in batches.
//!
//! The reader is a task of its own because replies are the most frequent event of a run: reading
//! them must not touch the rest of the worker's state.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use super::{
    connection::{Connection, Received},
    event_queue::NewsSender,
    output::OutputStream,
    progress_news::ProgressNews,
};
use tokio::time::timeout_at;

use crate::sink::{Origin, Outlet, Stream};
use pool::{Memory, News, Remains, Reply, event::WorkerId, exit::Pipe};
use process::proc;

/// Shortest time between two memory samples of a worker that runs short jobs.
const MEMORY_SAMPLE_INTERVAL: Duration = Duration::from_millis(100);
/// Service time, in nanoseconds, from which every job is followed by a memory sample. A sample
/// costs about 20 us, which is 0.2 % of such a job.
const LONG_JOB_NS: u64 = 10_000_000;

/// What a worker that takes jobs communicates through.
#[derive(Clone)]
pub(super) struct Channels {
    pub(super) worker: WorkerId,
    pub(super) pid: i32,
    pub(super) connection: Rc<Connection>,
    /// Its stdout and stderr.
    pub(super) output: [Rc<OutputStream>; 2],
    pub(super) outlet: Rc<Outlet>,
    pub(super) news: Rc<NewsSender>,
}

/// The task that reads from one worker.
pub(super) struct ReplyReader {
    channels: Channels,
    /// Whether a limit or a recycling rule depends on the worker's memory.
    watches_memory: bool,
    memory_sampled_at: Option<Instant>,
    progress: ProgressNews,
}

impl ReplyReader {
    pub(super) fn new(channels: Channels, watches_memory: bool) -> Self {
        let progress = ProgressNews::default();
        Self { channels, watches_memory, memory_sampled_at: None, progress }
    }

    /// Forwards messages until the worker closes its reply pipe or violates the protocol.
    ///
    /// The task may be aborted at any `await`: each of them is either before a read or behind the
    /// push of everything that was read.
    pub(super) async fn run(mut self) {
        let news = Rc::clone(&self.channels.news);
        let closed = Rc::clone(&news);
        self.channels.connection.on_hang_up(move || closed.send(News::Closed(Pipe::Jobs)));
        if let Some(abilities) = self.channels.connection.abilities_without_hello() {
            news.send(News::Hello(abilities));
        }
        let mut had_output = false;
        loop {
            news.credit().await;
            if had_output && self.channels.outlet.writes_declared() {
                // As for the worker's own streams: a flood slows down only this worker.
                self.channels.outlet.room().await;
            }
            let mut received = Received::default();
            let receive = self.channels.connection.receive(&mut received);
            let result = match self.progress.due() {
                None => receive.await,
                Some(due) => match timeout_at(due, receive).await {
                    Ok(result) => result,
                    Err(_) => {
                        self.progress.take_due().into_iter().for_each(|it| news.send(it));
                        continue;
                    }
                },
            };
            had_output = !received.output.is_empty();
            self.forward(received);
            match result {
                Some(Ok(())) => {}
                Some(Err(fault)) => return news.send(News::Broken(fault)),
                None => return news.send(News::Closed(Pipe::Replies)),
            }
        }
    }

    fn forward(&mut self, mut received: Received) {
        let Channels { connection, output, news, .. } = &self.channels;
        // While the connection still knows the jobs that have now been answered.
        output.iter().for_each(|stream| stream.catch_up());
        if connection.has_waiting_jobs() {
            output.iter().for_each(|stream| stream.note_running_job());
        }
        self.channels.forward_reports(&mut received);
        if let Some((id, progress)) = received.progress.take() {
            self.progress.note(id, progress).into_iter().for_each(|it| news.send(it));
        }
        if let Some(pid) = received.pid {
            let closed = Rc::clone(news);
            let ended = move || closed.send(News::Closed(Pipe::Replies));
            connection.set_owner(pid, self.channels.pid, ended);
        }
        if let Some(abilities) = received.hello {
            // Output from before the hello belongs to no job.
            output.iter().for_each(|stream| stream.clear_tail());
            news.send(News::Hello(abilities));
        }
        if !received.replies.is_empty() {
            connection.answered(received.replies.len());
            let printed = output.iter().any(|stream| stream.has_tail());
            output.iter().for_each(|stream| stream.clear_tail());
            let memory = self.sample_memory(&received.replies);
            let replies = received.replies;
            self.channels.news.send(News::Replies { replies, memory, printed });
        }
    }

    /// Samples the worker's memory after each long job, and at most every
    /// [`MEMORY_SAMPLE_INTERVAL`] after short jobs if a rule depends on it.
    fn sample_memory(&mut self, replies: &[Reply]) -> Option<Memory> {
        let is_long = replies.last().is_some_and(|reply| reply.service_ns >= LONG_JOB_NS);
        let sampled_at = self.memory_sampled_at;
        let is_recent = || sampled_at.is_some_and(|at| at.elapsed() < MEMORY_SAMPLE_INTERVAL);
        if !is_long && (!self.watches_memory || is_recent()) {
            return None;
        }
        if self.watches_memory {
            self.memory_sampled_at = Some(Instant::now());
        }
        let pid = self.channels.connection.owner_of_jobs(self.channels.pid);
        let [resident_bytes, peak_bytes] = proc::memory(pid)?;
        Some(Memory { resident_bytes, peak_bytes })
    }
}

impl Channels {
    /// Handles what the worker reported about jobs besides their replies: their output and their
    /// processes.
    fn forward_reports(&self, received: &mut Received) {
        forward_reports(self.worker, self.pid, &self.connection, &self.outlet, received);
    }

    /// Reads what a dead worker left, after its [`ReplyReader`] was aborted.
    pub(super) fn finish(&self) -> Remains {
        let mut received = Received::default();
        let mut output = self.output.each_ref().map(|stream| stream.tail()).concat();
        let (started, result) = self.connection.finish(&mut received);
        output.extend(self.connection.unfinished_line());
        self.output.iter().for_each(|stream| stream.catch_up());
        self.forward_reports(&mut received);
        self.outlet.end_declared(self.worker);
        self.connection.kill_job_process();
        let has_spoken = || self.connection.abilities_without_hello().is_some();
        let (spoke, broken) = (received.hello.is_some() || has_spoken(), result.err());
        Remains { spoke, replies: received.replies, started, broken, output }
    }
}

/// Handles what a worker reported about jobs besides their replies: their output and their
/// processes.
pub(super) fn forward_reports(
    worker: WorkerId,
    pid: i32,
    connection: &Connection,
    outlet: &Outlet,
    received: &mut Received,
) {
    connection.update_job_process(received, pid);
    for (job, stream, bytes) in received.output.drain(..) {
        // A worker may name any job, and is believed only about its own.
        let job = Some(job).filter(|job| connection.has_job(*job));
        outlet.declared(Origin { worker, pid, stream: Stream::of(stream), job }, &bytes);
    }
    outlet.complete(worker, &mut received.replies);
}
