//! Messages about a job while it runs.
//!
//! A worker can forward output and progress that belong to the job, name the process that runs it,
//! and learn that the supervisor cancels it.

use std::{
    os::fd::{BorrowedFd, OwnedFd},
    time::Duration,
};

use protocol::wire::{CANCELS, CancelReason, ToSupervisor};

use crate::{
    connect::{ServeError, Wire},
    serve::Worker,
};

/// What [`Worker::receive`] learned about the running job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum JobSignal {
    /// Nothing that concerns the job.
    Nothing,
    /// The supervisor cancels the job.
    Cancel(CancelReason),
    /// Nothing, and no cancel can arrive before the job ends: the buffer is full of waiting jobs.
    Full,
    /// The pipe has ended: the supervisor no longer wants the job.
    Gone,
}

/// An output stream of a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Worker {
    /// Connects like [`Worker::connect`], and announces that this worker supports cancels. It must
    /// watch [`Worker::jobs`] while a job runs.
    ///
    /// # Errors
    /// The same as those of [`crate::serve`].
    pub fn connect_cancellable() -> Result<Self, ServeError> {
        let Wire { jobs, replies, recorder } = Wire::take()?;
        Self::over_cancellable(jobs, replies, recorder)
    }

    /// Connects like [`Worker::over`], and announces that this worker supports cancels.
    ///
    /// # Errors
    /// The same as those of [`crate::serve`].
    pub fn over_cancellable(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
    ) -> Result<Self, ServeError> {
        Self::greeting(jobs, replies, recorder, &[CANCELS])
    }

    /// The pipe through which jobs and cancels arrive. [`Worker::receive`] does not block while it is
    /// readable.
    #[must_use]
    pub fn jobs(&self) -> BorrowedFd<'_> {
        self.reader.pipe()
    }

    /// Waits until something arrives through the pipe of jobs, and reports what it means for the
    /// running job. Jobs that arrive are kept for [`Worker::next_job`].
    ///
    /// # Errors
    /// The pipe cannot be read, or the supervisor violates the protocol.
    pub fn receive(&mut self) -> Result<JobSignal, ServeError> {
        let Some(run) = self.running else { return Ok(JobSignal::Nothing) };
        if !self.reader.has_room() {
            return Ok(JobSignal::Full);
        }
        if !self.reader.read()? {
            return Ok(JobSignal::Gone);
        }
        Ok(self.reader.find_cancel(run.id)?.map_or(JobSignal::Nothing, JobSignal::Cancel))
    }

    /// The time for which the supervisor has suspended this worker, in all. It counts for no time limit.
    #[must_use]
    pub fn suspended(&self) -> Duration {
        self.writer.suspended()
    }

    /// Reports that a child process runs the job. The supervisor kills that process's group if this
    /// worker dies.
    ///
    /// # Errors
    /// No job is running, or the supervisor is gone.
    pub fn started(&mut self, pid: u32) -> Result<(), ServeError> {
        self.send(|id| ToSupervisor::Started { id, pid })
    }

    /// Sends output of the running job to the supervisor, at once.
    ///
    /// # Errors
    /// No job is running, or the supervisor is gone.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), ServeError> {
        /// The smallest piece: cheap to send, and within any cap.
        const PIECE_BYTES: usize = 2 << 10;
        let number = if stream == Stream::Stdout { 1 } else { 2 };
        let piece_bytes = PIECE_BYTES.max(self.writer.frame_bytes_max().min(64 << 10) / 2);
        let mut rest = bytes;
        while !rest.is_empty() {
            let mut length = rest.len().min(piece_bytes);
            // Not within a character of UTF-8, which has four bytes at most.
            while length + 4 > piece_bytes && rest.get(length).is_some_and(|it| it & 0xc0 == 0x80) {
                length -= 1;
            }
            let (piece, after) = rest.split_at(length);
            self.send(|id| ToSupervisor::Output { id, stream: number, bytes: piece.into() })?;
            rest = after;
        }
        Ok(())
    }

    /// Reports the progress of the running job: the part that is done, from 0 to 1, and a note for
    /// people.
    ///
    /// # Errors
    /// No job is running, or the supervisor is gone.
    pub fn progress(&mut self, fraction: f64, note: &str) -> Result<(), ServeError> {
        self.send(|id| ToSupervisor::Progress { id, fraction, note: note.into() })
    }

    fn send<'a>(
        &mut self,
        message: impl FnOnce(u64) -> ToSupervisor<'a>,
    ) -> Result<(), ServeError> {
        let run = self.running.ok_or(ServeError::NoJob)?;
        self.writer.send(&message(run.id))
    }
}

impl Stream {
    /// Both streams.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];
}
