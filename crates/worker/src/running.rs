//! What may a worker say and hear of a job while it runs it? Output and progress that surely
//! belong to it, the process that does it, and that it shall end early.

use std::os::fd::{BorrowedFd, OwnedFd};

use protocol::wire::{CANCELS, CancelReason, ToSupervisor};

use crate::{
    connect::{ServeError, Wire},
    serve::Worker,
};

/// What was heard while a job runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// Nothing that is about the job.
    Nothing,
    /// The job shall end early.
    Cancel(CancelReason),
    /// Nothing, and nothing more can be heard before the job has ended: the jobs that wait fill
    /// the room there is.
    Deaf,
    /// The pipe has ended: nobody wants the job any more.
    Gone,
}

/// One of the streams a program writes to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stream {
    /// Data.
    Stdout,
    /// What is said about them.
    Stderr,
}

impl Worker {
    /// As [`Worker::connect`], and says that this worker hears it when a job shall end early: it
    /// watches [`Worker::jobs`] while a job runs.
    ///
    /// # Errors
    /// As [`crate::serve`].
    pub fn connect_cancellable() -> Result<Self, ServeError> {
        let Wire { jobs, replies, recorder } = Wire::take()?;
        Self::over_cancellable(jobs, replies, recorder)
    }

    /// As [`Worker::over`], for one that hears cancels.
    ///
    /// # Errors
    /// As [`crate::serve`].
    pub fn over_cancellable(
        jobs: OwnedFd,
        replies: OwnedFd,
        recorder: Option<OwnedFd>,
    ) -> Result<Self, ServeError> {
        Self::greeting(jobs, replies, recorder, &[CANCELS])
    }

    /// The pipe that jobs and cancels come by: when it is readable, [`Worker::hear`] does not
    /// wait.
    #[must_use]
    pub fn jobs(&self) -> BorrowedFd<'_> {
        self.intake.pipe()
    }

    /// Waits until something comes by the pipe of jobs, and tells what it is to the running one.
    /// Jobs that come so are kept for [`Worker::next_job`].
    ///
    /// # Errors
    /// A supervisor that is not understood.
    pub fn hear(&mut self) -> Result<Heard, ServeError> {
        let Some(run) = self.running else { return Ok(Heard::Nothing) };
        if !self.intake.has_room() {
            return Ok(Heard::Deaf);
        }
        if !self.intake.read()? {
            return Ok(Heard::Gone);
        }
        Ok(self.intake.holds_cancel(run.id)?.map_or(Heard::Nothing, Heard::Cancel))
    }

    /// Says that the running job is done by a process of its own, whose process group shall end
    /// if this worker dies.
    ///
    /// # Errors
    /// No job that runs, or a supervisor that is gone.
    pub fn started(&mut self, pid: u32) -> Result<(), ServeError> {
        self.say(|id| ToSupervisor::Started { id, pid })
    }

    /// Passes on output of the running job, at once.
    ///
    /// # Errors
    /// No job that runs, or a supervisor that is gone.
    pub fn output(&mut self, stream: Stream, bytes: &[u8]) -> Result<(), ServeError> {
        /// Small enough for any cap, and large enough to be cheap.
        const PIECE_BYTES: usize = 2 << 10;
        let number = if stream == Stream::Stdout { 1 } else { 2 };
        let piece_bytes = PIECE_BYTES.max(self.replies.frame_bytes_max().min(64 << 10) / 2);
        bytes.chunks(piece_bytes).try_for_each(|piece| {
            self.say(|id| ToSupervisor::Output { id, stream: number, bytes: piece.into() })
        })
    }

    /// Says how far the running job has come: from 0 to 1, and in words.
    ///
    /// # Errors
    /// No job that runs, or a supervisor that is gone.
    pub fn progress(&mut self, fraction: f64, note: &str) -> Result<(), ServeError> {
        self.say(|id| ToSupervisor::Progress { id, fraction, note: note.into() })
    }

    fn say<'a>(&mut self, what: impl FnOnce(u64) -> ToSupervisor<'a>) -> Result<(), ServeError> {
        let run = self.running.ok_or(ServeError::NoJob)?;
        self.replies.say(&what(run.id))
    }
}

impl Stream {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Stdout, Self::Stderr];
}
