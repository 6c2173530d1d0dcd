//! How does a worker read its jobs? In big gulps, so that a hundred small ones cost one read;
//! and the payload of a large one straight to where it will stay.

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

/// As much as a pipe holds.
const GULP_BYTES: usize = 64 << 10;

/// A frame from this size on is large: reading it twice would cost more than a read more.
pub(crate) const LARGE_BYTES: usize = 32 << 10;

/// What has come in and was not yet worked off.
#[derive(Debug)]
pub(crate) struct Intake {
    pipe: File,
    max_frame: usize,
    buffer: Box<[u8]>,
    /// The part of the buffer that counts.
    start: usize,
    end: usize,
    /// The last frame was large, so the next one may be: read no more than shows which.
    was_large: bool,
}

/// What there is to be taken without a read.
pub(crate) enum Taken {
    /// The body of a frame, at this place of the buffer.
    Frame(Range<usize>),
    /// The beginning of a large frame, with this length.
    Large(usize),
    /// Too little.
    Nothing,
}

/// A large frame.
pub(crate) enum Large {
    Job {
        id: u64,
        attempt: u32,
        payload: Vec<u8>,
    },
    /// Nothing that a worker without cancels has to heed.
    Other,
    /// The pipe ended in it.
    End,
}

impl Intake {
    pub(crate) fn new(pipe: File, max_frame: usize) -> Self {
        let buffer = vec![0; GULP_BYTES].into();
        Self { pipe, max_frame, buffer, start: 0, end: 0, was_large: false }
    }

    pub(crate) fn buffer(&self) -> &[u8] {
        &self.buffer
    }

    pub(crate) fn pipe(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }

    /// Whether a read would find room.
    pub(crate) fn has_room(&self) -> bool {
        self.end - self.start < GULP_BYTES
    }

    /// Why one of the frames that wait cancels this job, if one does.
    pub(crate) fn holds_cancel(&self, job: u64) -> Result<Option<CancelReason>, CodecError> {
        let mut there = &self.buffer[self.start..self.end];
        while let Some((body, rest)) = frame::split(there, self.max_frame)? {
            if let ToWorker::Cancel { id, reason } = Codec::Bincode.read_to_worker(body)?
                && id == job
            {
                return Ok(Some(CancelReason::from(&*reason)));
            }
            there = rest;
        }
        Ok(None)
    }

    pub(crate) fn take(&mut self) -> Result<Taken, CodecError> {
        let there = &self.buffer[self.start..self.end];
        let Some(header) = there.first_chunk::<HEADER_BYTES>() else { return Ok(Taken::Nothing) };
        let length = frame::length(*header, self.max_frame)?;
        if there.len() >= HEADER_BYTES + length {
            let from = self.start + HEADER_BYTES;
            self.start = from + length;
            self.was_large = false;
            return Ok(Taken::Frame(from..self.start));
        }
        let is_large = length >= LARGE_BYTES && there.len() >= JOB_FRAME_HEAD_BYTES;
        Ok(if is_large { Taken::Large(length) } else { Taken::Nothing })
    }

    /// Waits for more; `false` at the end of the pipe.
    pub(crate) fn read(&mut self) -> Result<bool, ServeError> {
        // A frame that is not large fits behind the others once they are gone.
        self.buffer.copy_within(self.start..self.end, 0);
        self.end -= self.start;
        self.start = 0;
        let is_head = self.was_large && self.end < JOB_FRAME_HEAD_BYTES;
        let limit = if is_head { JOB_FRAME_HEAD_BYTES } else { GULP_BYTES };
        let read = loop {
            match self.pipe.read(&mut self.buffer[self.end..limit]) {
                Err(fault) if fault.kind() == std::io::ErrorKind::Interrupted => {}
                read => break read?,
            }
        };
        self.end += read;
        Ok(read > 0)
    }

    /// Reads the rest of the large frame of this length, the payload of a job into memory of
    /// exactly its size.
    pub(crate) fn read_large(&mut self, length: usize) -> Result<Large, ServeError> {
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
                return Ok(Large::End);
            }
        }
        match job {
            Some((id, attempt, claimed)) if claimed == rest.len() as u64 => {
                Ok(Large::Job { id, attempt, payload: rest })
            }
            Some(_) => Err(CodecError::Short.into()),
            None => match Codec::Bincode.read_to_worker(&[head, rest].concat())? {
                ToWorker::Cancel { .. } => Ok(Large::Other),
                // A fixed few bytes, all of them.
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

    /// Works off what there is; a large frame only if the pipe has the whole of it.
    fn work_off(intake: &mut Intake, is_all: bool, found: &mut Vec<Vec<u8>>) {
        loop {
            match intake.take().unwrap() {
                Taken::Nothing => return,
                Taken::Large(_) if !is_all => return,
                Taken::Large(length) => match intake.read_large(length).unwrap() {
                    Large::Job { payload, .. } => {
                        assert_eq!(payload.len(), payload.capacity());
                        found.push(payload);
                    }
                    Large::Other | Large::End => panic!("not a job"),
                },
                Taken::Frame(frame) => {
                    match Codec::Bincode.read_to_worker(&intake.buffer()[frame]).unwrap() {
                        ToWorker::Job { payload, .. } => found.push(payload.into_owned()),
                        other => panic!("{other:?}"),
                    }
                }
            }
        }
    }

    proptest! {
        #[test]
        fn jobs_of_every_size_survive_a_cut_at_every_byte(
            sizes in prop::collection::vec(prop_oneof![8 => 0usize..40, 1 => 32_700usize..33_000], 1..9),
            cut in any::<prop::sample::Index>(),
        ) {
            let payloads: Vec<_> = (0u8..).zip(&sizes).map(|(at, size)| vec![at; *size]).collect();
            let bytes = stream(&payloads);
            prop_assume!(bytes.len() <= GULP_BYTES);
            let (from, mut to) = pipe().unwrap();
            let mut intake = Intake::new(File::from(std::os::fd::OwnedFd::from(from)), 1 << 20);
            let (first, second) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut found = Vec::new();
            let mut left = first.len();
            to.write_all(first).unwrap();
            while left > 0 {
                let before = intake.end - intake.start;
                prop_assert!(intake.read().unwrap());
                left -= intake.end - intake.start - before;
                work_off(&mut intake, false, &mut found);
                if matches!(intake.take().unwrap(), Taken::Large(_)) {
                    break;
                }
            }
            to.write_all(second).unwrap();
            drop(to);
            work_off(&mut intake, true, &mut found);
            while intake.read().unwrap() {
                work_off(&mut intake, true, &mut found);
            }
            prop_assert_eq!(found, payloads);
        }
    }

    #[test]
    fn a_large_frame_that_is_not_what_it_claims_is_refused() {
        let mut bytes = stream(&[vec![0; 40_000]]);
        bytes[20..28].copy_from_slice(&7u64.to_le_bytes());
        let (from, mut to) = pipe().unwrap();
        let mut intake = Intake::new(File::from(std::os::fd::OwnedFd::from(from)), 1 << 20);
        to.write_all(&bytes[..100]).unwrap();
        assert!(intake.read().unwrap());
        let Taken::Large(length) = intake.take().unwrap() else { panic!("not large") };
        to.write_all(&bytes[100..]).unwrap();
        assert!(intake.read_large(length).is_err());
        let mut intake = Intake::new(intake.pipe, 16);
        to.write_all(&bytes).unwrap();
        assert!(intake.read().unwrap() && intake.take().is_err());
    }
}
