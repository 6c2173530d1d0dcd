//! [`ReplyWriter`], which writes replies to the supervisor in batches.
//!
//! ReplyWriter wait in the flight recorder's buffer, where the supervisor finds them even if the worker
//! dies. They are written together when the worker would otherwise wait, when the buffer is full,
//! or when the oldest of them has waited long enough. Without a recorder each reply is written at
//! once.

use std::{
    borrow::Cow,
    fs::File,
    io::{self, IoSlice, Write},
    time::{Duration, Instant},
};

use protocol::{
    codec::{self, REPLY_HEAD_BYTES},
    frame,
    recorder::RecorderWriter,
    wire::{Codec, Failure, FailureKind, ToSupervisor},
};

use crate::{connect::ServeError, job_reader::LARGE_BYTES};

/// When a job ends, all replies are written if the oldest one belongs to a job that started longer
/// ago than this.
const UNWRITTEN_MAX: Duration = Duration::from_micros(600);

/// The longest part of a failure's message that is sent.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct ReplyWriter {
    pipe: File,
    recorder: Option<RecorderWriter>,
    max_frame: usize,
    /// When the job of the oldest unwritten reply started.
    oldest: Option<Instant>,
}

/// The job that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RunningJob {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) start: Instant,
}

impl ReplyWriter {
    pub(crate) fn new(pipe: File, recorder: Option<RecorderWriter>, max_frame: usize) -> Self {
        Self { pipe, recorder, max_frame, oldest: None }
    }

    /// The time for which the supervisor has suspended this worker, in all.
    pub(crate) fn suspended(&self) -> Duration {
        self.recorder.as_ref().map(RecorderWriter::suspended).unwrap_or_default()
    }

    /// Claims the `seq`-th job that arrived; false if it is retracted.
    pub(crate) fn may_start(&self, seq: u64) -> bool {
        self.recorder.as_ref().is_none_or(|recorder| recorder.start(seq))
    }

    /// Ends a retraction.
    pub(crate) fn resume(&self) {
        if let Some(recorder) = &self.recorder {
            recorder.resume();
        }
    }

    /// Sends a reply, at once or with later ones. Returns whether it wrote to the pipe.
    pub(crate) fn push(
        &mut self,
        run: RunningJob,
        now: Instant,
        result: Result<&[u8], &Failure<'_>>,
    ) -> Result<bool, ServeError> {
        let service = now.saturating_duration_since(run.start);
        let service_ns = u64::try_from(service.as_nanos()).unwrap_or(u64::MAX);
        let wrote = match result {
            Err(failure) => self.push_failure(run, service_ns, failure)?,
            Ok(result) => {
                let (id, attempt, bytes) = (run.id, run.attempt, result.len());
                match codec::reply_frame_head(id, attempt, service_ns, bytes, self.max_frame) {
                    Ok(head) => self.push_frame(&head, result)?,
                    Err(_) => self.push_failure(run, service_ns, &self.too_long(result.len()))?,
                }
            }
        };
        if self.is_empty() {
            return Ok(wrote);
        }
        let oldest = *self.oldest.get_or_insert(run.start);
        if now.saturating_duration_since(oldest) > UNWRITTEN_MAX {
            self.flush()?;
            return Ok(true);
        }
        Ok(wrote)
    }

    fn too_long(&self, length: usize) -> Failure<'static> {
        let message = format!(
            "the reply of {length} bytes is over the {} bytes that a frame may have (--max-frame)",
            self.max_frame
        );
        Failure { kind: FailureKind::Error, message: message.into(), place: Cow::Borrowed("") }
    }

    fn push_failure(
        &mut self,
        run: RunningJob,
        service_ns: u64,
        failure: &Failure<'_>,
    ) -> Result<bool, ServeError> {
        // A long message is cut so that the frame, with all other fields, stays within the cap.
        let room = self.max_frame.saturating_sub(REPLY_HEAD_BYTES + 2 * 8 + failure.place.len());
        let message = truncated(&failure.message, room.min(MESSAGE_BYTES_MAX));
        let failure = Failure {
            kind: failure.kind,
            message: message.into(),
            place: Cow::Borrowed(&failure.place),
        };
        let (id, attempt) = (run.id, run.attempt);
        let message = ToSupervisor::Reply { id, attempt, service_ns, result: Err(failure) };
        let mut bytes = Vec::new();
        frame::append(&mut bytes, self.max_frame, |out| {
            Codec::Bincode.write_to_supervisor(&message, out);
        })?;
        self.push_frame(&bytes, &[])
    }

    /// Sends a complete frame, given in two parts. Returns whether it wrote to the pipe.
    fn push_frame(&mut self, head: &[u8], body: &[u8]) -> Result<bool, ServeError> {
        let is_large = body.len() >= LARGE_BYTES;
        let Some(recorder) = &mut self.recorder else {
            write_parts(&self.pipe, head, body)?;
            return Ok(true);
        };
        if !is_large && recorder.append(head, body) {
            return Ok(false);
        }
        self.flush()?;
        if let Some(recorder) = &mut self.recorder
            && (is_large || !recorder.append(head, body))
        {
            write_parts(&self.pipe, head, body)?;
            recorder.advance((head.len() + body.len()) as u64);
        }
        Ok(true)
    }

    /// Sends a message at once, after all earlier replies.
    pub(crate) fn send(&mut self, message: &ToSupervisor<'_>) -> Result<(), ServeError> {
        let mut bytes = Vec::new();
        frame::append(&mut bytes, self.max_frame, |out| {
            Codec::Bincode.write_to_supervisor(message, out);
        })?;
        self.push_frame(&bytes, &[])?;
        self.flush()
    }

    pub(crate) fn frame_bytes_max(&self) -> usize {
        self.max_frame
    }

    fn is_empty(&self) -> bool {
        self.recorder.as_ref().is_none_or(|recorder| recorder.unwritten().is_empty())
    }

    /// Writes all buffered replies to the pipe.
    pub(crate) fn flush(&mut self) -> Result<(), ServeError> {
        self.oldest = None;
        if let Some(recorder) = &mut self.recorder
            && !recorder.unwritten().is_empty()
        {
            (&self.pipe).write_all(recorder.unwritten())?;
            recorder.clear();
        }
        Ok(())
    }
}

/// Writes both parts without joining them first.
fn write_parts(mut pipe: &File, head: &[u8], body: &[u8]) -> io::Result<()> {
    let mut both = [IoSlice::new(head), IoSlice::new(body)];
    let mut left = &mut both[..];
    while left.iter().any(|part| !part.is_empty()) {
        match pipe.write_vectored(left) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut left, written),
            Err(fault) if fault.kind() == io::ErrorKind::Interrupted => {}
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// Returns at most the first `bytes_max` bytes of the text, cut between characters.
fn truncated(text: &str, bytes_max: usize) -> &str {
    let cut = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..cut.unwrap_or(0)]
}
