//! What is still to be written to a worker? Short messages gathered into one buffer, long
//! payloads as they are, all in order.

use std::{borrow::Cow, collections::VecDeque, io::IoSlice};

use protocol::{
    frame::{self, FrameTooLong},
    wire::{Codec, ToWorker},
};

use pool::{Order, job::Payload};

/// A buffer that is empty is kept up to this size.
const KEPT_BYTES_MAX: usize = 128 << 10;
/// Pieces written at a time.
const PIECES_MAX: usize = 16;

/// The bytes on their way.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    /// Earlier ones.
    pieces: VecDeque<Piece>,
    /// Later ones, to which is added.
    last: Vec<u8>,
    /// Bytes of the first piece that are written.
    written: usize,
    /// Bytes added so far, and up to the last job.
    added: u64,
    job_at: u64,
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

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.last.len() == self.written
    }

    /// Adds bytes that are a frame already.
    pub(super) fn push_frame(&mut self, frame: &[u8]) {
        self.last.extend_from_slice(frame);
        self.added += frame.len() as u64;
    }

    /// Adds a message.
    ///
    /// # Errors
    /// It is longer than a frame may be, and was not added.
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

    /// Adds a job.
    ///
    /// # Errors
    /// It is longer than a frame may be, and was not added.
    pub(super) fn push_job(
        &mut self,
        codec: Codec,
        order: &Order,
        frame_bytes_max: usize,
    ) -> Result<(), FrameTooLong> {
        let Order { id, attempt, payload } = order;
        let (id, attempt) = (*id, *attempt);
        let before = self.added;
        if codec == Codec::Bincode && payload.is_shared() {
            let head =
                protocol::codec::job_frame_head(id, attempt, payload.len(), frame_bytes_max)?;
            self.push_frame(&head);
            self.added += payload.len() as u64;
            self.job_at = before;
            self.pieces.push_back(Piece::Bytes(std::mem::take(&mut self.last)));
            self.pieces.push_back(Piece::Shared(payload.clone()));
            return Ok(());
        }
        let payload = Cow::Borrowed(payload.as_bytes());
        self.push(codec, &ToWorker::Job { id, attempt, payload }, frame_bytes_max)?;
        self.job_at = before;
        Ok(())
    }

    /// Whether nothing of the last job was read, where so many bytes wait to be.
    pub(super) fn is_job_unread(&self, waiting: usize) -> bool {
        let pieces: usize = self.pieces.iter().map(|piece| piece.bytes().len()).sum();
        let unread = pieces + self.last.len() - self.written + waiting;
        self.added.saturating_sub(unread as u64) <= self.job_at
    }

    /// What is to be written, in order.
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

    /// So many bytes of it are written.
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

    /// Nothing more will be written.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn all_is_written_in_order_however_much_is_taken_at_a_time(
            jobs in prop::collection::vec(prop_oneof![0usize..50, 32_000usize..40_000], 0..12),
            takes in prop::collection::vec(1usize..50_000, 1..60),
        ) {
            let (mut outgoing, mut expected) = (Outgoing::default(), Vec::new());
            let mut job_at = 0;
            for (id, length) in (1..).zip(jobs) {
                let payload = Payload::copy(&vec![u8::try_from(id % 251).unwrap(); length]);
                let order = Order { id, attempt: 1, payload: payload.clone() };
                outgoing.push_job(Codec::Bincode, &order, 1 << 20).unwrap();
                job_at = expected.len();
                let payload = Cow::Borrowed(payload.as_bytes());
                let message = ToWorker::Job { id, attempt: 1, payload };
                frame::append(&mut expected, 1 << 20, |body| {
                    Codec::Bincode.write_to_worker(&message, body);
                })
                .unwrap();
            }
            let mut written = Vec::new();
            for take in takes.into_iter().chain(std::iter::repeat(1 << 20)) {
                if outgoing.is_empty() {
                    break;
                }
                let before = written.len();
                outgoing.with_slices(|slices| {
                    let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
                    written.extend_from_slice(&bytes[..take.min(bytes.len())]);
                });
                outgoing.advance(written.len() - before);
                for waiting in [0, 1, written.len()] {
                    let read = written.len().saturating_sub(waiting);
                    prop_assert_eq!(outgoing.is_job_unread(waiting), read <= job_at);
                }
            }
            prop_assert_eq!(written, expected);
        }
    }
}
