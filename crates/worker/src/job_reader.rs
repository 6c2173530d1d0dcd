//! [`JobReader`], which reads messages from the pipe of jobs.
//!
//! It reads up to 64 KiB at a time, so that a hundred small jobs cost one system call. The payload
//! of a large job goes straight into a buffer of its own and is never copied.

use std::{
    fs::File,
    io::Read,
    ops::Range,
    os::fd::{AsFd, BorrowedFd},
};

use protocol::{
    codec::{self, CodecError, JOB_FRAME_HEAD_BYTES, JOB_HEAD_BYTES},
    frame::{self, HEADER_BYTES},
    wire::{CancelReason, Codec, ToWorker},
};

use crate::{connect::ServeError, sys};

/// The size of the buffer: the capacity of a pipe.
const BUFFER_BYTES: usize = 64 << 10;

/// The smallest body of a large frame. From this size on, a copy costs more than one more read.
pub(crate) const LARGE_BYTES: usize = 32 << 10;

/// Reads and decodes messages from the supervisor.
#[derive(Debug)]
pub(crate) struct JobReader {
    pipe: File,
    max_frame: usize,
    buffer: Box<[u8]>,
    /// The start of the bytes in `buffer` that are not decoded yet.
    start: usize,
    /// The end of those bytes.
    end: usize,
    /// Whether the last frame was large. If so, the next read is limited to a job's head, which
    /// tells whether this frame is large as well.
    was_large: bool,
}

/// What [`JobReader::take`] found in the buffer.
pub(crate) enum Taken {
    /// A complete message.
    Message(Message),
    /// The head of a large frame, whose body has this many bytes.
    Large(usize),
    /// No complete frame.
    Incomplete,
}

/// A message from the supervisor.
pub(crate) enum Message {
    Job(Received),
    Resume,
    /// A cancel. It can be ignored: the job has ended, or the worker does not support cancels.
    Cancel,
    /// No more jobs will follow; also the end of the pipe.
    Bye,
}

/// A job as it was received.
pub(crate) struct Received {
    pub(crate) id: u64,
    pub(crate) attempt: u32,
    pub(crate) payload: Payload,
}

/// The location of a job's payload.
pub(crate) enum Payload {
    /// This range of [`JobReader::buffer`].
    Buffered(Range<usize>),
    Owned(Vec<u8>),
}

impl JobReader {
    pub(crate) fn new(pipe: File, max_frame: usize) -> Self {
        let buffer = vec![0; BUFFER_BYTES].into();
        Self { pipe, max_frame, buffer, start: 0, end: 0, was_large: false }
    }

    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Whether the buffer has room for another read.
    pub(crate) fn has_room(&self) -> bool {
        self.end - self.start < BUFFER_BYTES
    }

    /// Looks for a cancel of this job among the buffered frames, and leaves the frames in place.
    pub(crate) fn find_cancel(&self, job: u64) -> Result<Option<CancelReason>, CodecError> {
        let mut unread = &self.buffer[self.start..self.end];
        while let Some((body, rest)) = frame::split(unread, self.max_frame)? {
            if let ToWorker::Cancel { id, reason } = Codec::Bincode.read_to_worker(body)?
                && id == job
            {
                return Ok(Some(CancelReason::from(&*reason)));
            }
            unread = rest;
        }
        Ok(None)
    }

    /// Takes the next message out of the buffer, without a read.
    pub(crate) fn take(&mut self) -> Result<Taken, CodecError> {
        let unread = &self.buffer[self.start..self.end];
        let Some(header) = unread.first_chunk::<HEADER_BYTES>() else {
            return Ok(Taken::Incomplete);
        };
        let length = frame::length(*header, self.max_frame)?;
        if unread.len() >= HEADER_BYTES + length {
            let from = self.start + HEADER_BYTES;
            self.start = from + length;
            self.was_large = false;
            return Ok(Taken::Message(self.decode(from..self.start)?));
        }
        let is_large = length >= LARGE_BYTES && unread.len() >= JOB_FRAME_HEAD_BYTES;
        Ok(if is_large { Taken::Large(length) } else { Taken::Incomplete })
    }

    /// Decodes the frame body in this range of the buffer.
    fn decode(&self, body: Range<usize>) -> Result<Message, CodecError> {
        let end = body.end;
        Ok(match Codec::Bincode.read_to_worker(&self.buffer[body])? {
            ToWorker::Job { id, attempt, payload } => {
                // The payload is the last field of its frame.
                let payload = Payload::Buffered(end - payload.len()..end);
                Message::Job(Received { id, attempt, payload })
            }
            ToWorker::Resume => Message::Resume,
            ToWorker::Cancel { .. } => Message::Cancel,
            ToWorker::Bye => Message::Bye,
        })
    }

    /// Waits for more bytes; false at the end of the pipe.
    pub(crate) fn read(&mut self) -> Result<bool, ServeError> {
        // Move the incomplete frame to the front, where it has room unless it is large.
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let is_head = self.was_large && self.end < JOB_FRAME_HEAD_BYTES;
        let limit = if is_head { JOB_FRAME_HEAD_BYTES } else { BUFFER_BYTES };
        let read = loop {
            match self.pipe.read(&mut self.buffer[self.end..limit]) {
                Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        Ok(read > 0)
    }

    /// Reads the rest of the large frame whose body has `length` bytes. The payload of a job gets
    /// a buffer of exactly its size.
    pub(crate) fn read_large(&mut self, length: usize) -> Result<Message, ServeError> {
        let from = self.start + HEADER_BYTES;
        let (head, more) = self.buffer[from..self.end].split_at(JOB_HEAD_BYTES);
        let job = codec::read_job_head(head)?;
        let mut rest = Vec::with_capacity(length - JOB_HEAD_BYTES);
        rest.extend_from_slice(more);
        let head: Vec<u8> = head.into();
        (self.start, self.end, self.was_large) = (0, 0, true);
        while rest.len() < length - JOB_HEAD_BYTES {
            let missing = length - JOB_HEAD_BYTES - rest.len();
            if sys::read_more(self.pipe.as_fd(), &mut rest, missing)? == 0 {
                return Ok(Message::Bye);
            }
        }
        match job {
            Some((id, attempt, payload_bytes)) if payload_bytes == rest.len() as u64 => {
                Ok(Message::Job(Received { id, attempt, payload: Payload::Owned(rest) }))
            }
            Some(_) => Err(CodecError::Short.into()),
            None => match Codec::Bincode.read_to_worker(&[head, rest].concat())? {
                ToWorker::Cancel { .. } => Ok(Message::Cancel),
                // These messages have a fixed, small size.
                ToWorker::Job { .. } | ToWorker::Resume | ToWorker::Bye => {
                    Err(CodecError::Trailing(length).into())
                }
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::{Write, pipe};

    fn stream(payloads: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (id, payload) in (1..).zip(payloads) {
            let job = ToWorker::Job { id, attempt: 1, payload: payload.into() };
            let write = |out: &mut Vec<u8>| Codec::Bincode.write_to_worker(&job, out);
            frame::append(&mut bytes, 1 << 20, write).unwrap();
        }
        bytes
    }

    /// Takes all jobs that are available without a read; of large ones only if `is_all`, which
    /// says that the pipe already holds the rest.
    fn drain(reader: &mut JobReader, is_all: bool, found: &mut Vec<Vec<u8>>) {
        loop {
            let message = match reader.take().unwrap() {
                Taken::Incomplete => return,
                Taken::Large(_) if !is_all => return,
                Taken::Large(length) => reader.read_large(length).unwrap(),
                Taken::Message(message) => message,
            };
            let Message::Job(job) = message else { panic!("not a job") };
            found.push(match job.payload {
                Payload::Buffered(range) => reader.buffer()[range].to_vec(),
                Payload::Owned(payload) => {
                    assert_eq!(payload.len(), payload.capacity());
                    payload
                }
            });
        }
    }

    proptest! {
        #[test]
        fn jobs_of_every_size_are_read_wherever_the_stream_is_cut(
            sizes in prop::collection::vec(prop_oneof![8 => 0usize..40, 1 => 32_700usize..33_000], 1..9),
            cut in any::<prop::sample::Index>(),
        ) {
            let payloads: Vec<_> = (0u8..).zip(&sizes).map(|(at, size)| vec![at; *size]).collect();
            let bytes = stream(&payloads);
            prop_assume!(bytes.len() <= BUFFER_BYTES);
            let (from, mut to) = pipe().unwrap();
            let mut reader = JobReader::new(File::from(std::os::fd::OwnedFd::from(from)), 1 << 20);
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut found = Vec::new();
            let mut left = first.len();
            to.write_all(first).unwrap();
            while left > 0 {
                let before = reader.end - reader.start;
                prop_assert!(reader.read().unwrap());
                left -= reader.end - reader.start - before;
                drain(&mut reader, false, &mut found);
                if matches!(reader.take().unwrap(), Taken::Large(_)) {
                    break;
                }
            }
            to.write_all(second).unwrap();
            drop(to);
            drain(&mut reader, true, &mut found);
            while reader.read().unwrap() {
                drain(&mut reader, true, &mut found);
            }
            prop_assert_eq!(found, payloads);
        }
    }

    #[test]
    fn a_large_frame_that_contradicts_its_header_is_refused() {
        let mut bytes = stream(&[vec![0; 40_000]]);
        bytes[20..28].copy_from_slice(&7u64.to_le_bytes());
        let (from, mut to) = pipe().unwrap();
        let mut reader = JobReader::new(File::from(std::os::fd::OwnedFd::from(from)), 1 << 20);
        to.write_all(&bytes[..100]).unwrap();
        assert!(reader.read().unwrap());
        let Taken::Large(length) = reader.take().unwrap() else { panic!("not large") };
        to.write_all(&bytes[100..]).unwrap();
        assert!(reader.read_large(length).is_err());
        let mut reader = JobReader::new(reader.pipe, 16);
        to.write_all(&bytes).unwrap();
        assert!(reader.read().unwrap() && reader.take().is_err());
    }
}
