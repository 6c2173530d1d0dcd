//! When do replies go to the pipe? Together, when the worker would otherwise wait, when the
//! buffer is full, or when the oldest belongs to a job that began long enough ago. The buffer is
//! the flight recorder's, so that replies outlive the worker; without one, each goes at once.

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

use crate::{connect::ServeError, intake::LARGE_BYTES};

/// How long ago the job of the oldest unwritten reply may have begun.
const UNWRITTEN_MAX: Duration = Duration::from_micros(600);

/// How much of what a failure says is passed on.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

#[derive(Debug)]
pub(crate) struct Replies {
    pipe: File,
    keeper: Option<RecorderWriter>,
    max_frame: usize,
    /// When the job of the oldest unwritten reply began.
    oldest: Option<Instant>,
}

/// A job that was run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Run {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) start: Instant,
}

impl Replies {
    pub(crate) fn new(pipe: File, keeper: Option<RecorderWriter>, max_frame: usize) -> Self {
        Self { pipe, keeper, max_frame, oldest: None }
    }

    /// Whether this job, the `seq`-th, may be run.
    pub(crate) fn may_start(&self, seq: u64) -> bool {
        self.keeper.as_ref().is_none_or(|keeper| keeper.start(seq))
    }

    pub(crate) fn resume(&self) {
        if let Some(keeper) = &self.keeper {
            keeper.resume();
        }
    }

    /// Sends a reply, now or soon; `true` if that took a write.
    pub(crate) fn push(
        &mut self,
        run: Run,
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
        run: Run,
        service_ns: u64,
        failure: &Failure<'_>,
    ) -> Result<bool, ServeError> {
        // Of a message that is too long, the beginning; with room for what stands before it.
        let room = self.max_frame.saturating_sub(REPLY_HEAD_BYTES + 2 * 8 + failure.place.len());
        let message = beginning(&failure.message, room.min(MESSAGE_BYTES_MAX));
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

    /// A whole frame, in two parts.
    fn push_frame(&mut self, head: &[u8], body: &[u8]) -> Result<bool, ServeError> {
        let is_large = body.len() >= LARGE_BYTES;
        let Some(keeper) = &mut self.keeper else {
            write_parts(&self.pipe, head, body)?;
            return Ok(true);
        };
        if !is_large && keeper.append(head, body) {
            return Ok(false);
        }
        self.flush()?;
        if let Some(keeper) = &mut self.keeper
            && (is_large || !keeper.append(head, body))
        {
            write_parts(&self.pipe, head, body)?;
            keeper.passed((head.len() + body.len()) as u64);
        }
        Ok(true)
    }

    /// Says something of the running job, at once, behind all replies before it.
    pub(crate) fn say(&mut self, message: &ToSupervisor<'_>) -> Result<(), ServeError> {
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
        self.keeper.as_ref().is_none_or(|keeper| keeper.unwritten().is_empty())
    }

    /// Writes what is unwritten.
    pub(crate) fn flush(&mut self) -> Result<(), ServeError> {
        self.oldest = None;
        if let Some(keeper) = &mut self.keeper
            && !keeper.unwritten().is_empty()
        {
            (&self.pipe).write_all(keeper.unwritten())?;
            keeper.written();
        }
        Ok(())
    }
}

/// Writes both parts from where they lie.
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

/// At most that many bytes of the text, and no half character.
fn beginning(text: &str, bytes_max: usize) -> &str {
    let cut = (0..=bytes_max.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
    &text[..cut.unwrap_or(0)]
}
