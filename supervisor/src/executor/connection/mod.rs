//! The connection to one worker that takes jobs: a pipe for jobs, a pipe for replies, and the
//! memory page of the worker's recorder, if it can have one.
//!
//! Both pipes are always served. A worker that writes much before it reads slows down only
//! itself.

mod decode;
mod in_flight;
mod job_process;
mod lines;
mod owner;
mod reader;
#[cfg(test)]
mod tests;
mod wire;
mod write_queue;
mod writer;

use std::{
    cell::{Cell, RefCell},
    future::poll_fn,
    io,
    os::fd::OwnedFd,
    rc::Rc,
    task::{Context, Poll},
};

use nix::fcntl::{FcntlArg, fcntl};
use protocol::{
    recorder::Recorder,
    wire::{SupervisorHello, ToWorker, VERSION},
};
use tokio::net::unix::pipe::{Receiver, Sender};

use self::{
    decode::Decoder,
    in_flight::InFlight,
    job_process::JobProcess,
    lines::LineDecoder,
    owner::Owner,
    reader::Reader,
    wire::{Encoding, Replies},
    write_queue::WriteQueue,
    writer::Writer,
};
pub(super) use self::{
    decode::Received,
    reader::{ReadBuffer, read_buffer},
};
use crate::settings::Wire;
use pool::{Abilities, News, Order, event::WorkerId, exit::ProtocolFault, signal::Signal};

/// Capacity, in bytes, of the pipes of a worker that exchanges large frames.
const LARGE_PIPE_BYTES: i32 = 1 << 20;

/// The supervisor's end.
#[derive(Debug)]
pub(super) struct Connection {
    /// `None` once the job pipe is closed.
    writer: RefCell<Option<Writer>>,
    reader: RefCell<Reader>,
    in_flight: RefCell<InFlight>,
    job_process: RefCell<JobProcess>,
    /// `None` for a worker that cannot know of a recorder.
    recorder: Option<Recorder>,
    owner: RefCell<Owner>,
    frame_bytes_max: usize,
    has_large_pipes: Cell<bool>,
}

/// The worker's end.
#[derive(Debug)]
pub(super) struct FarEnd {
    pub(super) jobs: OwnedFd,
    pub(super) replies: OwnedFd,
    /// `None` for a line worker.
    pub(super) recorder: Option<OwnedFd>,
}

/// What the connections of all workers have in common.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) wire: Wire,
    /// Longest message, in bytes.
    pub(super) frame_bytes_max: usize,
    pub(super) is_launcher: bool,
    pub(super) buffer: ReadBuffer,
}

impl Connection {
    /// Opens a connection for `worker`. If the worker is to send a hello, the supervisor's hello is
    /// in the queue.
    ///
    /// # Errors
    /// No descriptors or no memory are left.
    pub(super) fn open(worker: WorkerId, line: &Line) -> io::Result<(Self, FarEnd)> {
        let frame_bytes_max = line.frame_bytes_max;
        let (jobs_read, jobs_write) = io::pipe()?;
        let (replies_read, replies_write) = io::pipe()?;
        let mut queue = WriteQueue::default();
        let (replies_decoder, recorder) = match line.wire {
            Wire::Frames => {
                queue.push_frame(&hello(worker, frame_bytes_max).to_frame());
                let decoder = Decoder::new(frame_bytes_max, line.is_launcher);
                (Replies::Frames(decoder), Some(Recorder::create()?))
            }
            Wire::Lines => (Replies::Lines(LineDecoder::new(frame_bytes_max)), None),
        };
        let (recorder, memory) = recorder.unzip();
        let jobs = Sender::from_owned_fd(jobs_write.into())?;
        let replies = Receiver::from_owned_fd(replies_read.into())?;
        let connection = Self {
            writer: RefCell::new(Some(Writer::new(jobs, queue))),
            reader: RefCell::new(Reader::new(replies, replies_decoder, Rc::clone(&line.buffer))),
            in_flight: RefCell::default(),
            job_process: RefCell::default(),
            recorder,
            owner: RefCell::default(),
            frame_bytes_max,
            has_large_pipes: Cell::new(false),
        };
        let far =
            FarEnd { jobs: jobs_read.into(), replies: replies_write.into(), recorder: memory };
        Ok((connection, far))
    }

    /// What a worker can do that sends no hello and is ready when it is executed.
    pub(super) fn abilities_without_hello(&self) -> Option<Abilities> {
        self.reader.borrow().replies().abilities_without_hello()
    }

    /// Notes which process has said hello, in the connection of the process `started`, which the
    /// supervisor started. Calls `ended` when it is another one, behind a wrapper, and ends.
    pub(super) fn set_owner(&self, pid: u32, started: i32, ended: impl FnOnce() + 'static) {
        if let Some(recorder) = &self.recorder {
            recorder.set_owner(pid);
        }
        self.owner.borrow_mut().set(pid, started, ended);
    }

    /// The process that does the jobs, where the supervisor started the process `started`.
    pub(super) fn owner_of_jobs(&self, started: i32) -> i32 {
        self.owner.borrow().pid().unwrap_or(started)
    }

    /// Queues jobs; [`Connection::flush`] writes them. Returns a [`News::Unsendable`] for each job
    /// that this worker cannot be sent.
    pub(super) fn send_jobs(&self, orders: &[Order]) -> Vec<News> {
        let (mut unsendable, mut is_large) = (Vec::new(), false);
        let mut reader = self.reader.borrow_mut();
        if let Some(encoding) = reader.replies().encoding()
            && let Some(writer) = &mut *self.writer.borrow_mut()
        {
            let mut in_flight = self.in_flight.borrow_mut();
            for order in orders {
                match writer.queue.push_job(encoding, order, self.frame_bytes_max) {
                    Ok(()) => {
                        in_flight.push(order.id);
                        reader.replies_mut().expect(order.id, order.attempt);
                        is_large |= order.payload.is_frame_shared();
                    }
                    Err(why) => unsendable.push(News::Unsendable { id: order.id, why }),
                }
            }
        }
        if is_large {
            self.enlarge_pipes(&reader);
        }
        unsendable
    }

    /// Queues a control message, unless the worker takes nothing but jobs; [`Connection::flush`]
    /// writes it.
    pub(super) fn send_message(&self, message: &ToWorker<'_>) {
        if let Some(Encoding::Frames(codec)) = self.reader.borrow().replies().encoding()
            && let Some(writer) = &mut *self.writer.borrow_mut()
        {
            // Control messages are always short enough for a frame.
            let _ = writer.queue.push(codec, message, self.frame_bytes_max);
        }
    }

    /// Writes as much of the queue as the pipe takes. A task writes the rest as the worker reads.
    pub(super) fn flush(self: &Rc<Self>) {
        if let Some(writer) = &mut *self.writer.borrow_mut()
            && !writer.is_flushing()
            && !writer.try_flush()
        {
            let task = tokio::task::spawn_local(Rc::clone(self).flush_rest());
            writer.set_flush_task(Some(task.abort_handle()));
        }
    }

    async fn flush_rest(self: Rc<Self>) {
        loop {
            let pipe = self.writer.borrow().as_ref().map(|writer| Rc::clone(writer.pipe()));
            let Some(pipe) = pipe else { return };
            // An error shows at the write.
            let _ = pipe.writable().await;
            if let Some(writer) = &mut *self.writer.borrow_mut()
                && writer.try_flush()
            {
                return writer.set_flush_task(None);
            }
        }
    }

    /// Calls `closed` when the worker closes its end of the job pipe or dies.
    pub(super) fn on_hang_up(&self, closed: impl FnOnce() + 'static) {
        if let Some(writer) = &mut *self.writer.borrow_mut() {
            writer.on_hang_up(closed);
        }
    }

    /// Tells the worker that no more jobs follow, and closes the job pipe.
    pub(super) fn dismiss(&self) {
        self.send_message(&ToWorker::Bye);
        if let Some(mut writer) = self.writer.take() {
            // If the pipe has no room even for this, the end of the stream tells the worker.
            writer.try_flush();
        }
    }

    /// Waits for the worker's next messages; `None` at the end of the stream. Cancelling the wait
    /// loses no message.
    pub(super) async fn receive(
        &self,
        received: &mut Received,
    ) -> Option<Result<(), ProtocolFault>> {
        poll_fn(|cx| self.poll_receive(cx, received)).await
    }

    fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<Option<Result<(), ProtocolFault>>> {
        let mut reader = self.reader.borrow_mut();
        if reader.replies().awaits_large_frame() {
            self.enlarge_pipes(&reader);
        }
        let in_flight = self.in_flight.borrow().len();
        reader.poll_receive(cx, in_flight, received)
    }

    /// Stops the worker from starting another job, and reads all replies that it has produced.
    /// Returns the sequence number of the last job that it started, or `None` if it has not yet
    /// read the resume message after the previous retraction.
    ///
    /// # Errors
    /// The worker violated the protocol.
    pub(super) fn retract(&self, received: &mut Received) -> Result<Option<u64>, ProtocolFault> {
        let Some(recorder) = &self.recorder else { return Ok(None) };
        let Some(started) = recorder.retract() else { return Ok(None) };
        self.reader.borrow_mut().catch_up(recorder, received)?;
        self.in_flight.borrow_mut().retracted(started);
        Ok(Some(started))
    }

    /// Reads what a dead worker left in its reply pipe and recorder, and closes the job pipe.
    /// Returns the sequence number of the last job that the worker started, according to its
    /// recorder; for a worker without a recorder, of the last job of which it had read anything.
    ///
    /// # Errors
    /// The worker violated the protocol.
    pub(super) fn finish(
        &self,
        received: &mut Received,
    ) -> (Option<u64>, Result<(), ProtocolFault>) {
        let last_read = self.last_job_read();
        self.writer.take();
        let mut reader = self.reader.borrow_mut();
        match &self.recorder {
            Some(recorder) if reader.replies().has_recorder() => {
                let result = reader.catch_up(recorder, received);
                (Some(self.running()), result)
            }
            _ => (last_read, reader.drain(received)),
        }
    }

    /// The end of a line that a dead worker never completed.
    pub(super) fn unfinished_line(&self) -> Vec<u8> {
        self.reader.borrow().replies().unfinished_line().to_vec()
    }

    /// Whether a line worker has read all that it was sent and has never answered.
    pub(super) fn is_swallowed(&self) -> bool {
        let has_read = |writer: &Writer| writer.queue.is_empty() && writer.is_pipe_empty();
        let answered = self.in_flight.borrow().sent() - self.in_flight.borrow().len() as u64;
        answered == 0 && self.writer.borrow().as_ref().is_some_and(has_read)
    }

    /// Whether the next job is the first one of a line worker.
    pub(super) fn awaits_first_line(&self) -> bool {
        self.abilities_without_hello().is_some() && self.in_flight.borrow().sent() == 0
    }

    /// Sequence number of the last job of which the worker has read anything.
    fn last_job_read(&self) -> Option<u64> {
        let is_unread = self.writer.borrow().as_ref()?.is_last_job_unread();
        Some(self.in_flight.borrow().sent().saturating_sub(u64::from(is_unread)))
    }

    /// Removes the oldest `count` jobs in flight, after the output before their replies was read.
    pub(super) fn answered(&self, count: usize) {
        self.in_flight.borrow_mut().answered(count);
    }

    /// Sequence number of the job that runs, or ran last; 0 before the first.
    pub(super) fn running(&self) -> u64 {
        self.recorder.as_ref().map_or(0, |recorder| recorder.running().0)
    }

    /// The id of the job to which output belongs that was read now and was written since job
    /// `since` started; `None` if another job has started meanwhile and it is not certain which
    /// of them wrote it.
    pub(super) fn job_of_output(&self, since: u64) -> Option<u64> {
        let is_certain = self.in_flight.borrow().is_unambiguous(since) || since == self.running();
        self.current_job().filter(|_| is_certain)
    }

    /// Whether the worker has this job.
    pub(super) fn has_job(&self, id: u64) -> bool {
        self.in_flight.borrow().has(id)
    }

    /// Whether jobs wait in the worker behind the one that it runs.
    pub(super) fn has_waiting_jobs(&self) -> bool {
        self.in_flight.borrow().len() > 1
    }

    /// The id of the job that the worker runs, or runs next.
    pub(super) fn current_job(&self) -> Option<u64> {
        self.in_flight.borrow().current(self.running())
    }

    /// Sends a signal to the process that the worker started for its current job.
    ///
    /// # Errors
    /// There is none, or the system refused it.
    pub(super) fn signal_job_process(&self, signal: Signal) -> io::Result<()> {
        self.job_process.borrow().signal(signal)
    }

    /// Applies the worker's messages about the process of its current job.
    pub(super) fn update_job_process(&self, received: &Received, worker_pid: i32) {
        self.job_process.borrow_mut().update(received, self.owner_of_jobs(worker_pid));
    }

    /// Kills the process of the current job, after the worker has died.
    pub(super) fn kill_job_process(&self) {
        self.job_process.borrow_mut().kill();
    }

    /// Raises the capacity of both pipes, once and only for a worker that exchanges large frames:
    /// these pass faster, but the kernel charges the memory to the user.
    fn enlarge_pipes(&self, reader: &Reader) {
        if self.has_large_pipes.replace(true) {
            return;
        }
        let _ = fcntl(reader.pipe(), FcntlArg::F_SETPIPE_SZ(LARGE_PIPE_BYTES));
        if let Some(writer) = &*self.writer.borrow() {
            let _ = fcntl(&**writer.pipe(), FcntlArg::F_SETPIPE_SZ(LARGE_PIPE_BYTES));
        }
    }
}

fn hello(worker: WorkerId, frame_bytes_max: usize) -> SupervisorHello {
    SupervisorHello {
        version: VERSION,
        codecs: vec!["bincode".into(), "json".into()],
        max_frame: frame_bytes_max as u64,
        worker: worker.to_string(),
    }
}
