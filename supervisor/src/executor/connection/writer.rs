//! The writing half of a connection: the job pipe and the queue in front of it.

use std::{io, rc::Rc};

use tokio::{
    io::{Interest, Ready},
    net::unix::pipe::Sender,
    task::AbortHandle,
};

use super::write_queue::WriteQueue;
use process::descriptors::bytes_waiting;

/// Writes messages to a worker's job pipe. Dropping it closes the pipe and discards what is still
/// queued.
#[derive(Debug)]
pub(super) struct Writer {
    /// The tasks below hold the pipe as well.
    pipe: Rc<Sender>,
    pub(super) queue: WriteQueue,
    /// The task that writes the queue while the pipe has no room.
    flush: Option<AbortHandle>,
    /// The task that waits for the worker to close its end.
    hang_up: Option<AbortHandle>,
}

impl Writer {
    pub(super) fn new(pipe: Sender, queue: WriteQueue) -> Self {
        Self { pipe: Rc::new(pipe), queue, flush: None, hang_up: None }
    }

    pub(super) fn pipe(&self) -> &Rc<Sender> {
        &self.pipe
    }

    /// Writes what the pipe takes now. Returns whether nothing is left for a later write.
    pub(super) fn try_flush(&mut self) -> bool {
        while !self.queue.is_empty() {
            let written = self.queue.with_slices(|slices| match slices {
                [one] => self.pipe.try_write(one),
                several => self.pipe.try_write_vectored(several),
            });
            match written {
                Ok(bytes) => self.queue.advance(bytes),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                // The worker has closed its end, which the hang-up task reports. The unsent bytes
                // stay in the queue, so that they are not counted as read by the worker.
                Err(_) => return true,
            }
        }
        true
    }

    /// Whether a task writes the queue.
    pub(super) fn is_flushing(&self) -> bool {
        self.flush.is_some()
    }

    /// Remembers the task that writes the queue; `None` when that task has finished.
    pub(super) fn set_flush_task(&mut self, task: Option<AbortHandle>) {
        self.flush = task;
    }

    /// Calls `closed` when the worker closes its end of the pipe or dies.
    pub(super) fn on_hang_up(&mut self, closed: impl FnOnce() + 'static) {
        let pipe = Rc::clone(&self.pipe);
        let task = tokio::task::spawn_local(async move {
            if pipe.ready(Interest::ERROR).await.is_ok_and(Ready::is_error) {
                closed();
            }
        });
        self.hang_up = Some(task.abort_handle());
    }

    /// Whether the worker has read everything that was written.
    pub(super) fn is_pipe_empty(&self) -> bool {
        bytes_waiting(&*self.pipe) == 0
    }

    /// Whether the worker has read anything of the last job in the queue.
    pub(super) fn is_last_job_unread(&self) -> bool {
        self.queue.is_job_unread(bytes_waiting(&*self.pipe))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // The tasks hold the pipe open.
        [&self.flush, &self.hang_up].into_iter().flatten().for_each(AbortHandle::abort);
    }
}
