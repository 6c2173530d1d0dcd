//! Queues the frames that are to be written to a worker's job pipe, in order.
//!
//! Short messages are gathered in one buffer, so that one system call writes many of them. Large
//! payloads are shared with the pool instead of copied.

use std::{borrow::Cow, collections::VecDeque, io::IoSlice};

use protocol::{
    codec::job_frame_head,
    frame::{self, FrameTooLong},
    wire::{Codec, ToWorker},
};

use super::wire::Encoding;
use pool::{Order, Unsendable, job::Payload};

/// Largest capacity, in bytes, that an empty buffer keeps.
const KEPT_BYTES_MAX: usize = 128 << 10;
/// Largest number of pieces that one system call writes.
const PIECES_MAX: usize = 16;

/// The bytes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct WriteQueue {
    /// All pieces but the last.
    pieces: VecDeque<Piece>,
    /// The last piece, to which frames are appended.
    last: Vec<u8>,
    /// Bytes of the first piece that are written already.
    written: usize,
    /// Bytes ever added to the queue.
    added: u64,
    /// The value of `added` before the last job.
    last_job_at: u64,
}

#[derive(Debug)]
enum Piece {
    Bytes(Vec<u8>),
    Shared(Payload),
}

impl Piece {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Bytes(bytes) => bytes,
            Self::Shared(payload) => payload.as_bytes(),
        }
    }
}

impl WriteQueue {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.last.len() == self.written
    }

    /// Adds bytes: a complete frame, or a part of a message.
    pub(super) fn push_frame(&mut self, frame: &[u8]) {
        self.last.extend_from_slice(frame);
        self.added += frame.len() as u64;
    }

    /// Adds a message.
    ///
    /// # Errors
    /// The message is longer than a frame may be, and was not added.
    pub(super) fn push(
        &mut self,
        codec: Codec,
        message: &ToWorker<'_>,
        frame_bytes_max: usize,
    ) -> Result<(), FrameTooLong> {
        let before = self.last.len();
        frame::append(&mut self.last, frame_bytes_max, |body| {
            codec.write_to_worker(message, body);
        })?;
        self.added += (self.last.len() - before) as u64;
        Ok(())
    }

    /// Adds a job, as a message of at most `bytes_max` bytes.
    ///
    /// # Errors
    /// The job cannot be sent, and was not added.
    pub(super) fn push_job(
        &mut self,
        encoding: Encoding,
        order: &Order,
        bytes_max: usize,
    ) -> Result<(), Unsendable> {
        let Order { id, attempt, payload } = order;
        let (id, attempt) = (*id, *attempt);
        let before = self.added;
        match encoding {
            Encoding::Frames(Codec::Bincode) if payload.is_frame_shared() => {
                let head = job_frame_head(id, attempt, payload.len(), bytes_max);
                self.push_frame(&head.map_err(too_long)?);
                self.push_shared(payload);
            }
            Encoding::Frames(codec) => {
                let payload = Cow::Borrowed(payload.as_bytes());
                let job = ToWorker::Job { id, attempt, payload };
                self.push(codec, &job, bytes_max).map_err(too_long)?;
            }
            Encoding::Lines => self.push_line(payload, bytes_max)?,
        }
        self.last_job_at = before;
        Ok(())
    }

    fn push_line(&mut self, payload: &Payload, bytes_max: usize) -> Result<(), Unsendable> {
        let (line, length) = (payload.as_bytes(), payload.len());
        if length > bytes_max {
            return Err(too_long(FrameTooLong { length, cap: bytes_max }));
        }
        if memchr::memchr(b'\n', line).is_some() {
            return Err(Unsendable::Newline);
        }
        match payload.is_frame_shared() {
            true => self.push_shared(payload),
            false => self.push_frame(line),
        }
        self.push_frame(b"\n");
        Ok(())
    }

    /// Adds a large payload without copying it.
    fn push_shared(&mut self, payload: &Payload) {
        self.added += payload.len() as u64;
        self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.last)));
        self.pieces.push_back(Piece::Shared(payload.clone()));
    }

    /// Whether the worker has read nothing of the last job, where `waiting` bytes are in the pipe.
    pub(super) fn is_job_unread(&self, waiting: usize) -> bool {
        let pieces: usize = self.pieces.iter().map(|piece| piece.bytes().len()).sum();
        let unread = pieces + self.last.len() - self.written + waiting;
        self.added.saturating_sub(unread as u64) <= self.last_job_at
    }

    /// Calls `write` with the unwritten bytes, in order, as far as one system call takes them.
    pub(super) fn with_slices<T>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> T) -> T {
        if self.pieces.is_empty() {
            return write(&[IoSlice::new(&self.last[self.written..])]);
        }
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let all = self.pieces.iter().map(Piece::bytes).chain([&self.last[..]]);
        let mut count = 0;
        for (slice, bytes) in slices.iter_mut().zip(all) {
            let skip = if count == 0 { self.written } else { 0 };
            *slice = IoSlice::new(&bytes[skip..]);
            count += 1;
        }
        write(&slices[..count])
    }

    /// Removes `bytes` bytes, which were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.pieces.front() {
            let length = first.bytes().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.pieces.pop_front();
        }
        if self.written == self.last.len() {
            self.written = 0;
            self.last.clear();
            if self.last.capacity() > KEPT_BYTES_MAX {
                self.last = Vec::new();
            }
        }
    }
}

fn too_long(fault: FrameTooLong) -> Unsendable {
    Unsendable::TooLong { bytes: fault.length as u64, bytes_max: fault.cap as u64 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_are_written_in_order_however_much_one_write_takes(
            jobs in prop::collection::vec(prop_oneof![0usize..50, 32_000usize..40_000], 0..12),
            takes in prop::collection::vec(1usize..50_000, 1..60),
        ) {
            let (mut queue, mut expected) = (WriteQueue::default(), Vec::new());
            let mut last_job_at = 0;
            for (id, length) in (1..).zip(jobs) {
                let payload = Payload::copy(&vec![u8::try_from(id % 251).unwrap(); length]);
                let order = Order { id, attempt: 1, payload: payload.clone() };
                queue.push_job(Encoding::Frames(Codec::Bincode), &order, 1 << 20).unwrap();
                last_job_at = expected.len();
                let payload = Cow::Borrowed(payload.as_bytes());
                let message = ToWorker::Job { id, attempt: 1, payload };
                frame::append(&mut expected, 1 << 20, |body| {
                    Codec::Bincode.write_to_worker(&message, body);
                })
                .unwrap();
            }
            let mut written = Vec::new();
            for take in takes.into_iter().chain(std::iter::repeat(1 << 20)) {
                if queue.is_empty() {
                    break;
                }
                let before = written.len();
                queue.with_slices(|slices| {
                    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                    written.extend_from_slice(&bytes[..take.min(bytes.len())]);
                });
                queue.advance(written.len() - before);
                for waiting in [0, 1, written.len()] {
                    let read = written.len().saturating_sub(waiting);
                    prop_assert_eq!(queue.is_job_unread(waiting), read <= last_job_at);
                }
            }
            prop_assert_eq!(written, expected);
        }
    }
}
