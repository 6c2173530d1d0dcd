//! Decodes a worker's stream of frames into messages.
//!
//! A reply that is invalid, but names its job, fails that job, and the worker lives on. Whatever else
//! cannot be decoded is a violation of the protocol. Either way the text names the field and the
//! reason, and quotes the beginning of the message.
//!
//! The bytes come in pieces of any size from the reply pipe, and after a death or for a retraction
//! from the worker's recorder. The decoder does no IO and trusts nothing that it reads.

use std::borrow::Cow;

use protocol::{
    codec::{CodecError, HELLO_BYTES_MAX},
    flaw::Flaw,
    frame,
    wire::{self, Codec, ToSupervisor, WorkerHello},
};

use crate::launcher::report;
use pool::{
    Abilities, Answer, Reply,
    event::Progress,
    exit::{Detail, ProtocolFault},
    job::{Failure, FailureKind, Payload},
};
use text::escape::{visible, visible_start};

/// Frames of at least this many bytes are read into a buffer of their own, so that their payload
/// is not copied again.
pub(super) const LARGE_FRAME_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = frame::HEADER_BYTES;
/// Longest part of an invalid message that is quoted, in bytes.
pub(super) const QUOTED_BYTES: usize = 80;
/// Longest part of a note about the progress of a job that is kept, in bytes.
const NOTE_BYTES: usize = 200;

/// The state of one worker's reply stream.
#[derive(Debug)]
pub(super) struct Decoder {
    /// The beginning of a frame that is not complete yet.
    partial: Vec<u8>,
    /// Bytes of the stream decoded so far, from the pipe and the recorder together.
    position: u64,
    /// Bytes that were decoded from the recorder and that the pipe has yet to deliver again.
    ahead: u64,
    /// Set by the worker's hello, the first frame of the stream.
    session: Option<Session>,
    frame_bytes_max: usize,
    /// Whether the payload of a reply is a launcher's report about a command.
    is_launcher: bool,
}

/// What the worker declared in its hello.
#[derive(Clone, Copy, Debug)]
struct Session {
    codec: Codec,
    abilities: Abilities,
}

/// The messages that one read brought.
#[derive(Debug, Default)]
pub(in super::super) struct Received {
    pub(in super::super) hello: Option<Abilities>,
    /// The process id in the hello.
    pub(in super::super) pid: Option<u32>,
    pub(in super::super) replies: Vec<Reply>,
    /// The last job that runs in a process of its own: the job's id and the process id.
    pub(in super::super) started: Option<(u64, u32)>,
    /// Output that the worker attributes to a job: the job's id, the number of the stream (1 for
    /// stdout, 2 for stderr) and the bytes.
    pub(in super::super) output: Vec<(u64, u8, Vec<u8>)>,
    /// The last progress of a job: the job's id, and how far it is.
    pub(in super::super) progress: Option<(u64, Progress)>,
}

impl Decoder {
    pub(super) fn new(frame_bytes_max: usize, is_launcher: bool) -> Self {
        let (partial, position, ahead, session) = (Vec::new(), 0, 0, None);
        Self { partial, position, ahead, session, frame_bytes_max, is_launcher }
    }

    /// The codec that the worker chose; `None` before its hello.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.session.map(|session| session.codec)
    }

    /// Whether the worker keeps a recorder, according to its hello.
    pub(super) fn has_recorder(&self) -> bool {
        self.session.is_some_and(|session| session.abilities.recorder)
    }

    /// Number of bytes of the stream decoded so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Decodes bytes that the pipe delivered.
    ///
    /// # Errors
    /// The bytes violate the protocol. `received` holds the messages before the fault.
    pub(super) fn decode_from_pipe(
        &mut self,
        bytes: &[u8],
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        let known = usize::try_from(self.ahead).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.ahead -= known as u64;
        self.decode(&bytes[known..], received)
    }

    /// Decodes bytes that the recorder holds and that follow [`Decoder::position`].
    ///
    /// # Errors
    /// The bytes violate the protocol. `received` holds the messages before the fault.
    pub(super) fn decode_from_recorder(
        &mut self,
        bytes: &[u8],
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        self.ahead += bytes.len() as u64;
        self.decode(bytes, received)
    }

    /// The buffer that takes the rest of a large frame, with room for the bytes that are missing,
    /// and their number; `None` unless one has begun.
    pub(super) fn large_frame(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let missing = self.large_frame_missing()?;
        self.partial.reserve_exact(missing);
        Some((&mut self.partial, missing))
    }

    /// Number of bytes that are missing from a large frame; `None` unless one has begun.
    pub(super) fn large_frame_missing(&self) -> Option<usize> {
        let header = *self.partial.first_chunk::<HEADER_BYTES>()?;
        let whole = HEADER_BYTES + u32::from_le_bytes(header) as usize;
        let missing = whole.checked_sub(self.partial.len()).filter(|missing| *missing > 0)?;
        (whole >= LARGE_FRAME_BYTES && self.ahead == 0).then_some(missing)
    }

    /// Accounts for `bytes` more bytes in [`Decoder::large_frame`], and decodes the frame if it is
    /// complete.
    ///
    /// # Errors
    /// The frame violates the protocol.
    pub(super) fn large_frame_grew(
        &mut self,
        bytes: usize,
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        self.position += bytes as u64;
        if self.large_frame_missing().is_some() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.partial);
        if let Some(done) = self.decode_message(&frame[HEADER_BYTES..], received)? {
            let start = frame.len() - done.payload_bytes;
            received.replies.push(self.reply(&done, Payload::take(frame, start))?);
        }
        Ok(())
    }

    fn decode(&mut self, bytes: &[u8], received: &mut Received) -> Result<(), ProtocolFault> {
        self.position += bytes.len() as u64;
        if self.partial.is_empty() {
            let rest = self.decode_frames(bytes, received)?;
            self.partial.extend_from_slice(rest);
            return Ok(());
        }
        self.partial.extend_from_slice(bytes);
        let mut partial = std::mem::take(&mut self.partial);
        let rest = self.decode_frames(&partial, received)?.len();
        partial.drain(..partial.len() - rest);
        self.partial = partial;
        Ok(())
    }

    /// Decodes the complete frames and returns the bytes behind the last of them.
    fn decode_frames<'a>(
        &mut self,
        mut bytes: &'a [u8],
        received: &mut Received,
    ) -> Result<&'a [u8], ProtocolFault> {
        loop {
            let has_session = self.session.is_some();
            let bytes_max = if has_session { self.frame_bytes_max } else { HELLO_BYTES_MAX };
            let split = frame::split(bytes, bytes_max).map_err(|fault| {
                let length = u32::try_from(fault.length).unwrap_or(u32::MAX);
                match has_session {
                    true => ProtocolFault::FrameTooLong(length),
                    false => no_hello(&header_reason(length), bytes),
                }
            })?;
            let Some((body, rest)) = split else { return Ok(bytes) };
            bytes = rest;
            if let Some(done) = self.decode_message(body, received)? {
                let payload = Payload::copy(&body[body.len() - done.payload_bytes..]);
                received.replies.push(self.reply(&done, payload)?);
            }
        }
    }

    /// Decodes one message. Where the message is a reply whose payload is the unchanged end of
    /// `body`, this returns the reply without the payload, so that the caller can take the payload
    /// without a copy.
    fn decode_message(
        &mut self,
        body: &[u8],
        received: &mut Received,
    ) -> Result<Option<Done>, ProtocolFault> {
        let Some(Session { codec, .. }) = self.session else {
            let (session, pid) = decode_hello(body)?;
            self.session = Some(session);
            received.pid = Some(pid);
            received.hello = Some(session.abilities);
            return Ok(None);
        };
        let message = match codec.read_to_supervisor(body) {
            Ok(message) => message,
            Err(error) => {
                received.replies.push(refused(codec, body, &error)?);
                return Ok(None);
            }
        };
        match message {
            ToSupervisor::Reply { id, attempt, service_ns, result } => {
                let answer = match result {
                    Ok(Cow::Borrowed(payload))
                        if payload.as_ptr_range().end == body.as_ptr_range().end =>
                    {
                        let payload_bytes = payload.len();
                        return Ok(Some(Done { id, attempt, service_ns, payload_bytes }));
                    }
                    Ok(payload) => Answer::Done(Payload::take(payload.into_owned(), 0)),
                    Err(failure) => Answer::Failed(Box::new(into_failure(failure))),
                };
                received.replies.push(Reply { id, attempt, service_ns, answer });
            }
            ToSupervisor::Output { id, stream, bytes } => {
                received.output.push((id, stream, bytes.into_owned()));
            }
            ToSupervisor::Started { id, pid } => received.started = Some((id, pid)),
            ToSupervisor::Progress { id, fraction, note } => {
                received.progress = Some((id, into_progress(fraction, &note)));
            }
            ToSupervisor::Bye => {}
        }
        Ok(None)
    }

    fn reply(&self, done: &Done, payload: Payload) -> Result<Reply, ProtocolFault> {
        let Done { id, attempt, service_ns, .. } = *done;
        let answer = if self.is_launcher {
            let ran = report::read(payload).ok_or(ProtocolFault::Garbage)?;
            Answer::Ran(Box::new(ran))
        } else {
            Answer::Done(payload)
        };
        Ok(Reply { id, attempt, service_ns, answer })
    }
}

/// A successful reply whose payload is the end of its frame.
struct Done {
    id: u64,
    attempt: u32,
    service_ns: u64,
    payload_bytes: usize,
}

fn decode_hello(body: &[u8]) -> Result<(Session, u32), ProtocolFault> {
    let hello =
        WorkerHello::from_bytes(body).map_err(|error| no_hello(&error.to_string(), body))?;
    if hello.version != wire::VERSION {
        return Err(ProtocolFault::Version(hello.version));
    }
    let can = |name: &str| hello.capabilities.iter().any(|capability| capability == name);
    // Workers that write JSON get one job at a time, even if they keep the recorder.
    let recorder = hello.codec == Codec::Bincode && can(wire::RECORDER);
    let abilities = Abilities { recorder, cancels: can(wire::CANCELS), queues: false };
    Ok((Session { codec: hello.codec, abilities }, hello.pid))
}

/// The length in the header of a first frame is too large for a hello. Guesses the usual mistake.
fn header_reason(length: u32) -> String {
    let swapped = length.swap_bytes();
    if (1..=HELLO_BYTES_MAX).contains(&(swapped as usize)) {
        return format!("its length is big-endian: it is little-endian, {swapped} first");
    }
    format!("its header announces {length} bytes, and a hello has at most {HELLO_BYTES_MAX}")
}

fn no_hello(reason: &str, bytes: &[u8]) -> ProtocolFault {
    let text = format!("its first frame is no hello: {}: {}", shown(reason), quoted(bytes));
    ProtocolFault::Invalid(Detail::new(&text))
}

/// The failure of the job that an invalid reply answers.
///
/// # Errors
/// The message is not a reply, or does not name its job.
fn refused(codec: Codec, body: &[u8], error: &CodecError) -> Result<Reply, ProtocolFault> {
    let Flaw { job, reason } = codec.explain(body, error);
    let (reason, quoted) = (shown(&reason), quoted(body));
    let Some((id, attempt)) = job else {
        let text = format!("a frame that is no message: {reason}: {quoted}");
        return Err(ProtocolFault::Invalid(Detail::new(&text)));
    };
    let message = format!("its reply is invalid: {reason}: {quoted}");
    let failure = Failure { kind: FailureKind::Error, message, place: None };
    Ok(Reply { id, attempt, service_ns: 0, answer: Answer::Failed(Box::new(failure)) })
}

/// A reason may repeat what the worker wrote.
fn shown(reason: &str) -> String {
    visible(reason.as_bytes())
}

/// The beginning of a message, as text.
fn quoted(bytes: &[u8]) -> String {
    format!("`{}`", visible_start(bytes, QUOTED_BYTES))
}

/// A fraction out of range becomes the nearest in range, and one that is not a number 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast takes the nearest number in range"
)]
fn into_progress(fraction: f64, note: &str) -> Progress {
    let permyriad = (fraction.clamp(0.0, 1.0) * 10_000.0).round() as u16;
    let note = visible_start(note.as_bytes(), NOTE_BYTES);
    Progress { permyriad, note: note.into() }
}

fn into_failure(failure: wire::Failure<'_>) -> Failure {
    let place = Some(failure.place.into_owned()).filter(|place| !place.is_empty());
    let kind = match failure.kind {
        wire::FailureKind::Error => FailureKind::Error,
        wire::FailureKind::Panic => FailureKind::Panic,
    };
    Failure { kind, message: failure.message.into_owned(), place }
}

#[cfg(test)]
mod fuzzed;
#[cfg(test)]
mod invalid_tests;
#[cfg(test)]
mod tests;
