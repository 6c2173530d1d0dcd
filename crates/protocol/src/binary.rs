//! The bincode form of messages, encoded and decoded by hand.
//!
//! The bytes are exactly those of bincode with fixed-width integers. The code is written by hand
//! because every job and every reply passes through it; a property test compares it with bincode.

use std::borrow::Cow;

use crate::{
    error::CodecError,
    wire::{Failure, FailureKind, ToSupervisor, ToWorker},
};

const JOB: u32 = 0;
const RESUME: u32 = 1;
const CANCEL: u32 = 2;
const BYE_WORKER: u32 = 3;

const REPLY: u32 = 0;
const STARTED: u32 = 1;
const OUTPUT: u32 = 2;
const PROGRESS: u32 = 3;
const BYE_SUPERVISOR: u32 = 4;

const OK: u32 = 0;
const ERR: u32 = 1;

/// Bytes of a job, in bincode form, before its payload: variant, id, attempt, length.
pub const JOB_HEAD_BYTES: usize = 4 + 8 + 4 + 8;

/// Bytes of a successful reply, in bincode form, before its result: variant, id, attempt,
/// nanoseconds, `Ok`, length.
pub const REPLY_HEAD_BYTES: usize = 4 + 8 + 4 + 8 + 4 + 8;

/// Encodes a job up to its payload, as one array so that it is copied at once.
pub(crate) fn job_head(id: u64, attempt: u32, length: usize) -> [u8; JOB_HEAD_BYTES] {
    let mut head = [0; JOB_HEAD_BYTES];
    head[0..4].copy_from_slice(&JOB.to_le_bytes());
    head[4..12].copy_from_slice(&id.to_le_bytes());
    head[12..16].copy_from_slice(&attempt.to_le_bytes());
    head[16..24].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

/// Encodes a successful reply up to its result, as one array so that it is copied at once.
#[inline]
pub(crate) fn reply_head(
    id: u64,
    attempt: u32,
    service_ns: u64,
    length: usize,
) -> [u8; REPLY_HEAD_BYTES] {
    let mut head = [0; REPLY_HEAD_BYTES];
    head[0..4].copy_from_slice(&REPLY.to_le_bytes());
    head[4..12].copy_from_slice(&id.to_le_bytes());
    head[12..16].copy_from_slice(&attempt.to_le_bytes());
    head[16..24].copy_from_slice(&service_ns.to_le_bytes());
    head[24..28].copy_from_slice(&OK.to_le_bytes());
    head[28..36].copy_from_slice(&(length as u64).to_le_bytes());
    head
}

/// Decodes the head of a job whose payload has not arrived: id, attempt, length of the payload.
/// `None` if the message is not a job.
pub(crate) fn read_job_head(head: &[u8]) -> Result<Option<(u64, u32, u64)>, CodecError> {
    let mut reader = Reader(head);
    if reader.u32()? != JOB {
        return Ok(None);
    }
    Ok(Some((reader.u64()?, reader.u32()?, reader.u64()?)))
}

pub(crate) fn write_to_worker(message: &ToWorker<'_>, out: &mut Vec<u8>) {
    match message {
        ToWorker::Job { id, attempt, payload } => {
            out.reserve(JOB_HEAD_BYTES + payload.len());
            out.extend_from_slice(&job_head(*id, *attempt, payload.len()));
            out.extend_from_slice(payload);
        }
        ToWorker::Resume => put_u32(out, RESUME),
        ToWorker::Cancel { id, reason } => {
            put_u32(out, CANCEL);
            put_u64(out, *id);
            put_bytes(out, reason.as_bytes());
        }
        ToWorker::Bye => put_u32(out, BYE_WORKER),
    }
}

/// Decodes a message to a worker. Nearly all are jobs, and these are read from one array; the
/// others take the slow path.
#[inline]
pub(crate) fn read_to_worker(bytes: &[u8]) -> Result<ToWorker<'_>, CodecError> {
    match bytes.split_first_chunk::<JOB_HEAD_BYTES>() {
        Some((head, payload))
            if u32_at(head, 0) == JOB && u64_at(head, 16) == payload.len() as u64 =>
        {
            let (id, attempt) = (u64_at(head, 4), u32_at(head, 12));
            Ok(ToWorker::Job { id, attempt, payload: Cow::Borrowed(payload) })
        }
        _ => read_any_to_worker(bytes),
    }
}

#[cold]
fn read_any_to_worker(bytes: &[u8]) -> Result<ToWorker<'_>, CodecError> {
    let mut reader = Reader(bytes);
    let message = match reader.u32()? {
        JOB => ToWorker::Job {
            id: reader.u64()?,
            attempt: reader.u32()?,
            payload: Cow::Borrowed(reader.bytes()?),
        },
        RESUME => ToWorker::Resume,
        CANCEL => ToWorker::Cancel { id: reader.u64()?, reason: reader.text()? },
        BYE_WORKER => ToWorker::Bye,
        variant => return Err(CodecError::Variant { of: "message", variant }),
    };
    reader.end()?;
    Ok(message)
}

pub(crate) fn write_to_supervisor(message: &ToSupervisor<'_>, out: &mut Vec<u8>) {
    match message {
        ToSupervisor::Reply { id, attempt, service_ns, result: Ok(result) } => {
            out.reserve(REPLY_HEAD_BYTES + result.len());
            out.extend_from_slice(&reply_head(*id, *attempt, *service_ns, result.len()));
            out.extend_from_slice(result);
        }
        ToSupervisor::Reply { id, attempt, service_ns, result: Err(failure) } => {
            put_u32(out, REPLY);
            put_u64(out, *id);
            put_u32(out, *attempt);
            put_u64(out, *service_ns);
            put_u32(out, ERR);
            put_u32(out, u32::from(failure.kind == FailureKind::Panic));
            put_bytes(out, failure.message.as_bytes());
            put_bytes(out, failure.place.as_bytes());
        }
        ToSupervisor::Started { id, pid } => {
            put_u32(out, STARTED);
            put_u64(out, *id);
            put_u32(out, *pid);
        }
        ToSupervisor::Output { id, stream, bytes } => {
            put_u32(out, OUTPUT);
            put_u64(out, *id);
            out.push(*stream);
            put_bytes(out, bytes);
        }
        ToSupervisor::Progress { id, fraction, note } => {
            put_u32(out, PROGRESS);
            put_u64(out, *id);
            out.extend_from_slice(&fraction.to_le_bytes());
            put_bytes(out, note.as_bytes());
        }
        ToSupervisor::Bye => put_u32(out, BYE_SUPERVISOR),
    }
}

/// Decodes a message from a worker. Nearly all are successful replies, and these are read from
/// one array; the others take the slow path.
#[inline]
pub(crate) fn read_to_supervisor(bytes: &[u8]) -> Result<ToSupervisor<'_>, CodecError> {
    match bytes.split_first_chunk::<REPLY_HEAD_BYTES>() {
        Some((head, result))
            if u32_at(head, 0) == REPLY
                && u32_at(head, 24) == OK
                && u64_at(head, 28) == result.len() as u64 =>
        {
            let (id, attempt, service_ns) = (u64_at(head, 4), u32_at(head, 12), u64_at(head, 16));
            let result = Ok(Cow::Borrowed(result));
            Ok(ToSupervisor::Reply { id, attempt, service_ns, result })
        }
        _ => read_any_to_supervisor(bytes),
    }
}

#[cold]
fn read_any_to_supervisor(bytes: &[u8]) -> Result<ToSupervisor<'_>, CodecError> {
    let mut reader = Reader(bytes);
    let message = match reader.u32()? {
        REPLY => ToSupervisor::Reply {
            id: reader.u64()?,
            attempt: reader.u32()?,
            service_ns: reader.u64()?,
            result: reader.result()?,
        },
        STARTED => ToSupervisor::Started { id: reader.u64()?, pid: reader.u32()? },
        OUTPUT => ToSupervisor::Output {
            id: reader.u64()?,
            stream: reader.array::<1>()?[0],
            bytes: Cow::Borrowed(reader.bytes()?),
        },
        PROGRESS => ToSupervisor::Progress {
            id: reader.u64()?,
            fraction: f64::from_le_bytes(reader.array()?),
            note: reader.text()?,
        },
        BYE_SUPERVISOR => ToSupervisor::Bye,
        variant => return Err(CodecError::Variant { of: "message", variant }),
    };
    reader.end()?;
    Ok(message)
}

/// The id and the attempt in a reply, even if the rest of it cannot be decoded.
pub(crate) fn replied_job(bytes: &[u8]) -> Option<(u64, u32)> {
    let mut reader = Reader(bytes);
    if reader.u32().ok()? != REPLY {
        return None;
    }
    Some((reader.u64().ok()?, reader.u32().ok()?))
}

/// The `u32` at this offset of an array, which must have four bytes there.
fn u32_at<const N: usize>(array: &[u8; N], at: usize) -> u32 {
    let mut value = [0; 4];
    value.copy_from_slice(&array[at..at + 4]);
    u32::from_le_bytes(value)
}

/// The `u64` at this offset of an array, which must have eight bytes there.
fn u64_at<const N: usize>(array: &[u8; N], at: usize) -> u64 {
    let mut value = [0; 8];
    value.copy_from_slice(&array[at..at + 8]);
    u64::from_le_bytes(value)
}

fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_u64(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(&value.to_le_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_u64(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The bytes of a message that are not decoded yet. Allocates nothing: each length is compared
/// with the number of bytes left.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N], CodecError> {
        let (value, rest) = self.0.split_first_chunk::<N>().ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(*value)
    }

    fn u32(&mut self) -> Result<u32, CodecError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, CodecError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn bytes(&mut self) -> Result<&'a [u8], CodecError> {
        let length = usize::try_from(self.u64()?).map_err(|_| CodecError::Short)?;
        let (value, rest) = self.0.split_at_checked(length).ok_or(CodecError::Short)?;
        self.0 = rest;
        Ok(value)
    }

    fn text(&mut self) -> Result<Cow<'a, str>, CodecError> {
        Ok(Cow::Borrowed(str::from_utf8(self.bytes()?)?))
    }

    fn result(&mut self) -> Result<Result<Cow<'a, [u8]>, Failure<'a>>, CodecError> {
        match self.u32()? {
            OK => Ok(Ok(Cow::Borrowed(self.bytes()?))),
            ERR => Ok(Err(Failure {
                kind: match self.u32()? {
                    0 => FailureKind::Error,
                    1 => FailureKind::Panic,
                    variant => return Err(CodecError::Variant { of: "kind of failure", variant }),
                },
                message: self.text()?,
                place: self.text()?,
            })),
            variant => Err(CodecError::Variant { of: "result", variant }),
        }
    }

    fn end(&self) -> Result<(), CodecError> {
        match self.0.len() {
            0 => Ok(()),
            extra => Err(CodecError::Trailing(extra)),
        }
    }
}
