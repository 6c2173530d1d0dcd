//! What does a worker say? Bytes of its reply stream, in whatever pieces they come from its pipe
//! or its flight recorder, become messages. Sans-IO; nothing in them is trusted.

use std::borrow::Cow;

use protocol::{
    codec::HELLO_BYTES_MAX,
    frame,
    wire::{self, Codec, ToSupervisor, WorkerHello},
};

use crate::launcher::report;
use pool::{
    Abilities, Answer, Reply,
    exit::ProtocolFault,
    job::{Failure, FailureKind, Payload},
};

/// From this length on a frame is read into a buffer of its own, and not copied again.
pub(super) const LARGE_FRAME_BYTES: usize = 64 << 10;
const HEADER_BYTES: usize = frame::HEADER_BYTES;

/// The reply stream of one worker.
#[derive(Debug)]
pub(super) struct Incoming {
    /// The beginning of a frame that is not whole yet.
    held: Vec<u8>,
    /// Bytes of the stream that were taken in, from wherever.
    position: u64,
    /// Those of them that came from the recorder, and that the pipe is still to bring.
    ahead: u64,
    codec: Option<Codec>,
    abilities: Abilities,
    frame_bytes_max: usize,
    /// Whether replies are a launcher's reports.
    reports: bool,
}

/// What some bytes brought.
#[derive(Debug, Default)]
pub(super) struct Heard {
    pub(super) hello: Option<Abilities>,
    pub(super) replies: Vec<Reply>,
    /// The last job that it says is a process of its own, and the process.
    pub(super) started: Option<(u64, u32)>,
    /// Output that the worker itself says belongs to a job: its number, the stream's, the bytes.
    pub(super) output: Vec<(u64, u8, Vec<u8>)>,
}

impl Incoming {
    pub(super) fn new(frame_bytes_max: usize, reports: bool) -> Self {
        Self {
            held: Vec::new(),
            position: 0,
            ahead: 0,
            codec: None,
            abilities: Abilities::default(),
            frame_bytes_max,
            reports,
        }
    }

    /// How it writes, once it has said so.
    pub(super) fn codec(&self) -> Option<Codec> {
        self.codec
    }

    /// What it can do, by its hello.
    pub(super) fn abilities(&self) -> Abilities {
        self.abilities
    }

    /// How many bytes of the stream were taken in.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Takes in bytes that the pipe brought.
    ///
    /// # Errors
    /// They are not the protocol; what came before that is in `heard`.
    pub(super) fn take_from_pipe(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard,
    ) -> Result<(), ProtocolFault> {
        let known = usize::try_from(self.ahead).map_or(bytes.len(), |n| n.min(bytes.len()));
        self.ahead -= known as u64;
        self.take(&bytes[known..], heard)
    }

    /// Takes in bytes from the recorder: what follows [`Incoming::position`].
    ///
    /// # Errors
    /// As for the pipe.
    pub(super) fn take_from_recorder(
        &mut self,
        bytes: &[u8],
        heard: &mut Heard,
    ) -> Result<(), ProtocolFault> {
        self.ahead += bytes.len() as u64;
        self.take(bytes, heard)
    }

    /// Where to read the rest of a large frame to, and how many bytes of it are missing.
    pub(super) fn large(&mut self) -> Option<(&mut Vec<u8>, usize)> {
        let header = *self.held.first_chunk::<HEADER_BYTES>()?;
        let whole = HEADER_BYTES + u32::from_le_bytes(header) as usize;
        let missing = whole.checked_sub(self.held.len()).filter(|missing| *missing > 0)?;
        if whole < LARGE_FRAME_BYTES || self.ahead > 0 {
            return None;
        }
        self.held.reserve_exact(missing);
        Some((&mut self.held, missing))
    }

    /// So many bytes were read to where [`Incoming::large`] said.
    ///
    /// # Errors
    /// As for the pipe.
    pub(super) fn large_grew(
        &mut self,
        bytes: usize,
        heard: &mut Heard,
    ) -> Result<(), ProtocolFault> {
        self.position += bytes as u64;
        if self.large().is_some() {
            return Ok(());
        }
        let frame = std::mem::take(&mut self.held);
        if let Some(done) = self.message(&frame[HEADER_BYTES..], heard)? {
            let start = frame.len() - done.payload_bytes;
            heard.replies.push(self.reply(&done, Payload::take(frame, start))?);
        }
        Ok(())
    }

    fn take(&mut self, bytes: &[u8], heard: &mut Heard) -> Result<(), ProtocolFault> {
        self.position += bytes.len() as u64;
        if self.held.is_empty() {
            let rest = self.read(bytes, heard)?;
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        self.held.extend_from_slice(bytes);
        let held = std::mem::take(&mut self.held);
        let rest = self.read(&held, heard)?.len();
        let mut held = held;
        held.drain(..held.len() - rest);
        self.held = held;
        Ok(())
    }

    /// Reads whole frames; what follows the last of them.
    fn read<'a>(
        &mut self,
        mut bytes: &'a [u8],
        heard: &mut Heard,
    ) -> Result<&'a [u8], ProtocolFault> {
        loop {
            let cap = if self.codec.is_some() { self.frame_bytes_max } else { HELLO_BYTES_MAX };
            let split = frame::split(bytes, cap).map_err(|fault| match self.codec {
                Some(_) => {
                    let length = u32::try_from(fault.length).unwrap_or(u32::MAX);
                    ProtocolFault::FrameTooLong(length)
                }
                None => ProtocolFault::Hello,
            })?;
            let Some((body, rest)) = split else { return Ok(bytes) };
            bytes = rest;
            if let Some(done) = self.message(body, heard)? {
                let payload = Payload::copy(&body[body.len() - done.payload_bytes..]);
                heard.replies.push(self.reply(&done, payload)?);
            }
        }
    }

    /// Reads one message. A reply whose payload lies at the end of the body as it is comes back
    /// without it, so that the caller can take it without a copy.
    fn message(&mut self, body: &[u8], heard: &mut Heard) -> Result<Option<Done>, ProtocolFault> {
        let Some(codec) = self.codec else {
            heard.hello = Some(self.hello(body)?);
            return Ok(None);
        };
        match codec.read_to_supervisor(body).map_err(|_| ProtocolFault::Garbage)? {
            ToSupervisor::Reply { id, attempt, service_ns, result } => {
                let answer = match result {
                    Ok(Cow::Borrowed(payload))
                        if payload.as_ptr_range().end == body.as_ptr_range().end =>
                    {
                        let payload_bytes = payload.len();
                        return Ok(Some(Done { id, attempt, service_ns, payload_bytes }));
                    }
                    Ok(payload) => Answer::Done(Payload::take(payload.into_owned(), 0)),
                    Err(failure) => Answer::Failed(Box::new(own(failure))),
                };
                heard.replies.push(Reply { id, attempt, service_ns, answer });
            }
            ToSupervisor::Output { id, stream, bytes } => {
                heard.output.push((id, stream, bytes.into_owned()));
            }
            ToSupervisor::Started { id, pid } => heard.started = Some((id, pid)),
            ToSupervisor::Progress { .. } | ToSupervisor::Bye => {}
        }
        Ok(None)
    }

    fn reply(&self, done: &Done, payload: Payload) -> Result<Reply, ProtocolFault> {
        let Done { id, attempt, service_ns, .. } = *done;
        let answer = if self.reports {
            let ran = report::read(payload).ok_or(ProtocolFault::Garbage)?;
            Answer::Ran(Box::new(ran))
        } else {
            Answer::Done(payload)
        };
        Ok(Reply { id, attempt, service_ns, answer })
    }

    fn hello(&mut self, body: &[u8]) -> Result<Abilities, ProtocolFault> {
        let hello = WorkerHello::from_bytes(body).map_err(|_| ProtocolFault::Hello)?;
        if hello.version != wire::VERSION {
            return Err(ProtocolFault::Version(hello.version));
        }
        self.codec = Some(hello.codec);
        let can = |name: &str| hello.capabilities.iter().any(|ability| ability == name);
        // In JSON a job may turn out too long for a frame only when it is sent, which would
        // put the numbers in the recorder out of step: such workers have one job at a time.
        let recorder = hello.codec == Codec::Bincode && can(wire::RECORDER);
        self.abilities = Abilities { recorder, cancels: can(wire::CANCELS) };
        Ok(self.abilities)
    }
}

/// A job that is done, and whose reply is the end of its frame.
struct Done {
    id: u64,
    attempt: u32,
    service_ns: u64,
    payload_bytes: usize,
}

fn own(failure: wire::Failure<'_>) -> Failure {
    let place = Some(failure.place.into_owned()).filter(|place| !place.is_empty());
    let kind = match failure.kind {
        wire::FailureKind::Error => FailureKind::Error,
        wire::FailureKind::Panic => FailureKind::Panic,
    };
    Failure { kind, message: failure.message.into_owned(), place }
}
