//! The flight recorder: a page of memory that a worker shares with its supervisor.
//!
//! In it the worker notes which job it runs, and keeps the replies that it has not yet written to
//! its pipe. The page outlives the worker, so after a death the supervisor knows exactly which job
//! was running and which jobs were already answered. It also lets the supervisor retract jobs that
//! the worker has received but not started.
//!
//! | offset | content |
//! |---|---|
//! | 0 | `u64` gate: `(seq << 1) \| retracted`. `seq` is the sequence number of the job that runs or ran last; it counts the `Job` frames that this worker received, from 1 |
//! | 8 | `u64` base: the position of the buffer's first byte in the reply stream, counted from the first byte that the worker ever wrote to the reply pipe |
//! | 16 | `u64` filled: the number of bytes in the buffer |
//! | 24 | `u64` owner: the process id in the hello that the supervisor accepted; 0 before that |
//! | 4096 | the buffer, 64 KiB: replies that are not yet written to the pipe |
//!
//! Numbers are in native byte order. The worker writes everything apart from the *retracted* bit and
//! the owner, in an order that leaves the page correct if the worker dies after any store. The gate changes in
//! one atomic operation, so a retraction and a start have a definite order that both
//! sides agree on.

#![expect(unsafe_code, reason = "memory that another process writes")]

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    slice,
    sync::atomic::{
        AtomicU64,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
        fence,
    },
};

use crate::sys::{Mapping, sealed_memory};

const GATE: usize = 0;
const BASE: usize = 8;
const FILLED: usize = 16;
/// The offset of the owner, by which a process that inherited the descriptor tells whether another
/// one is the worker already.
pub const OWNER: usize = 24;
const BUFFER: usize = 4096;

/// The size of the buffer for replies.
pub const BUFFER_BYTES: usize = 64 << 10;

/// The size of the whole page.
pub const PAGE_BYTES: usize = BUFFER + BUFFER_BYTES;

const RETRACTED: u64 = 1;

#[derive(Debug)]
struct Page(Mapping);

impl Page {
    fn map(memory: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(Mapping::new(memory, PAGE_BYTES)?))
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset < BUFFER && offset.is_multiple_of(8));
        // SAFETY: the word is within the mapping and aligned, and both sides access it only as an
        // atomic.
        unsafe { self.0.start().add(offset).cast::<AtomicU64>().as_ref() }
    }
}

/// The supervisor's side of the page. It trusts nothing that it reads, because the worker can
/// write anything.
#[derive(Debug)]
pub struct Recorder(Page);

impl Recorder {
    /// Creates a page, and the descriptor by which one worker maps it.
    ///
    /// # Errors
    /// The kernel has no memory or descriptor left.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = sealed_memory(PAGE_BYTES)?;
        Ok((Self(Page::map(memory.as_fd())?), memory))
    }

    /// Retracts all jobs that the worker has not started. Returns the sequence number of the job
    /// that runs at this moment or ran last; 0 if the worker has not started any. Returns `None` if
    /// an earlier retraction is still in force, because the worker has not read its `Resume` yet.
    #[must_use = "the result tells which jobs are retracted"]
    pub fn retract(&self) -> Option<u64> {
        let gate = self.0.word(GATE).fetch_or(RETRACTED, AcqRel);
        (gate & RETRACTED == 0).then_some(gate >> 1)
    }

    /// Notes which process has said hello.
    pub fn set_owner(&self, pid: u32) {
        self.0.word(OWNER).store(u64::from(pid), Release);
    }

    /// Returns the sequence number of the job that runs or ran last, and whether a retraction is in
    /// force.
    #[must_use]
    pub fn running(&self) -> (u64, bool) {
        let gate = self.0.word(GATE).load(Acquire);
        (gate >> 1, gate & RETRACTED != 0)
    }

    /// Appends the buffered replies to `out`, from position `from` of the reply stream on. Appends
    /// nothing if all of them are before `from`, that is, have arrived through the pipe.
    ///
    /// Returns `None` and leaves `out` unchanged if bytes before the buffer have yet to arrive
    /// through the pipe, if the worker changed the buffer during the copy, or if the page's
    /// contents are invalid.
    pub fn tail(&self, from: u64, out: &mut Vec<u8>) -> Option<()> {
        let (base_word, filled_word) = (self.0.word(BASE), self.0.word(FILLED));
        let base = base_word.load(Acquire);
        let filled = usize::try_from(filled_word.load(Acquire)).ok()?;
        if filled > BUFFER_BYTES {
            return None;
        }
        let skipped = usize::try_from(from.checked_sub(base)?).unwrap_or(usize::MAX).min(filled);
        let length = filled - skipped;
        out.reserve(length);
        let old_length = out.len();
        // SAFETY: skipped + length <= BUFFER_BYTES, so the source is in the mapping, and `out` has
        // reserved the room. The bytes may change during the copy. Any value is valid for a byte;
        // they are examined only after the copy, and dropped below if they may have changed.
        unsafe {
            let source = self.0.0.start().add(BUFFER + skipped).as_ptr();
            source.copy_to_nonoverlapping(out.as_mut_ptr().add(old_length), length);
            out.set_len(old_length + length);
        }
        fence(Acquire);
        let is_whole = base_word.load(Relaxed) == base
            && usize::try_from(filled_word.load(Relaxed)).is_ok_and(|now| now >= filled);
        if !is_whole {
            out.truncate(old_length);
        }
        is_whole.then_some(())
    }
}

/// The worker's side of the page.
#[derive(Debug)]
pub struct RecorderWriter {
    page: Page,
    /// A copy of `base` in the page, which only this value changes.
    base: u64,
    /// A copy of `filled` in the page, which only this value changes.
    filled: usize,
}

impl RecorderWriter {
    /// Maps the page. `position` is the number of bytes already written to the reply pipe.
    ///
    /// # Errors
    /// The descriptor is not a recorder's page, or cannot be mapped.
    pub fn open(memory: BorrowedFd<'_>, position: u64) -> io::Result<Self> {
        let page = Page::map(memory)?;
        page.word(BASE).store(position, Release);
        Ok(Self { page, base: position, filled: 0 })
    }

    /// Claims the `seq`-th job that arrived. If this returns true, the page names it as the running
    /// job, and the worker must run it. Otherwise it and all jobs after it are retracted.
    #[inline]
    pub fn start(&self, seq: u64) -> bool {
        let gate = self.page.word(GATE);
        let mut seen = gate.load(Relaxed);
        // The gate may hold any earlier number: retracted jobs were never stored in it.
        while seen & RETRACTED == 0 {
            match gate.compare_exchange_weak(seen, seq << 1, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// Ends a retraction: jobs that arrive from now on may start.
    pub fn resume(&self) {
        self.page.word(GATE).fetch_and(!RETRACTED, AcqRel);
    }

    /// Appends a reply, given in two parts, to the buffer. Returns false, and changes nothing, if
    /// it does not fit.
    #[inline]
    pub fn append(&mut self, head: &[u8], body: &[u8]) -> bool {
        let length = head.len() + body.len();
        if length > BUFFER_BYTES - self.filled {
            return false;
        }
        // SAFETY: the bytes from `filled` on are in the mapping, no other code writes them, and no
        // slice of them is alive, since `unwritten` borrows this value.
        unsafe {
            let to = self.page.0.start().add(BUFFER + self.filled).as_ptr();
            to.copy_from_nonoverlapping(head.as_ptr(), head.len());
            to.add(head.len()).copy_from_nonoverlapping(body.as_ptr(), body.len());
        }
        self.filled += length;
        self.page.word(FILLED).store(self.filled as u64, Release);
        true
    }

    /// The buffered replies, which the worker has yet to write to the pipe.
    #[inline]
    #[must_use]
    pub fn unwritten(&self) -> &[u8] {
        // SAFETY: the bytes are in the mapping, and only `append` writes them, which borrows this
        // value exclusively. The supervisor only reads them.
        unsafe { slice::from_raw_parts(self.page.0.start().add(BUFFER).as_ptr(), self.filled) }
    }

    /// Empties the buffer, after the caller has written all of it to the pipe.
    pub fn clear(&mut self) {
        let length = self.filled as u64;
        self.filled = 0;
        // The order matters. If the worker dies between the two stores, the buffer is empty and its
        // position is behind the pipe's. In the other order, its old bytes would look like new ones.
        self.page.word(FILLED).store(0, Release);
        self.advance(length);
    }

    /// Advances the position by `bytes` that the caller wrote to the pipe directly. The buffer must
    /// be empty.
    pub fn advance(&mut self, bytes: u64) {
        self.base += bytes;
        self.page.word(BASE).store(self.base, Release);
        // A reader that sees the next bytes in the buffer must see the new base as well.
        fence(Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{iter, sync::atomic::AtomicBool, thread};

    fn pair() -> (Recorder, RecorderWriter) {
        let (recorder, memory) = Recorder::create().unwrap();
        let writer = RecorderWriter::open(memory.as_fd(), 100).unwrap();
        (recorder, writer)
    }

    fn tail(recorder: &Recorder, from: u64) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let read = recorder.tail(from, &mut out);
        assert!(out.starts_with(b"before") && (read.is_some() || out.len() == 6));
        read.map(|()| out.split_off(6))
    }

    #[test]
    fn a_retraction_stops_later_jobs_until_the_worker_resumes() {
        let (recorder, writer) = pair();
        assert_eq!(recorder.running(), (0, false));
        assert!(writer.start(1));
        assert_eq!(recorder.retract(), Some(1));
        assert!(!writer.start(2) && !writer.start(3));
        assert_eq!((recorder.retract(), recorder.running()), (None, (1, true)));
        writer.resume();
        assert!(writer.start(4));
        assert_eq!((recorder.running(), recorder.retract()), ((4, false), Some(4)));
    }

    #[test]
    fn the_tail_is_what_has_not_arrived_through_the_pipe() {
        let (recorder, mut writer) = pair();
        assert_eq!(tail(&recorder, 100), Some(vec![]));
        assert!(writer.append(b"ab", b"cd") && writer.append(b"ef", b""));
        assert_eq!(tail(&recorder, 100).as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(tail(&recorder, 103).as_deref(), Some(&b"def"[..]));
        // The worker dies after the write and before the two stores, or between them.
        assert_eq!(tail(&recorder, 106), Some(vec![]));
        writer.page.word(FILLED).store(0, Release);
        assert_eq!(tail(&recorder, 106), Some(vec![]));
        writer.clear();
        assert!(writer.append(b"g", b""));
        assert_eq!(tail(&recorder, 105), None);
        assert_eq!(tail(&recorder, 106).as_deref(), Some(&b"g"[..]));
        assert_eq!(writer.unwritten(), b"g");
    }

    #[test]
    fn a_reply_that_does_not_fit_changes_nothing() {
        let (recorder, mut writer) = pair();
        assert!(writer.append(&[1], &vec![2; BUFFER_BYTES - 2]));
        assert!(!writer.append(&[3], &[3]) && writer.append(&[3], &[]));
        assert_eq!(tail(&recorder, 100).unwrap().len(), BUFFER_BYTES);
    }

    #[test]
    fn an_invalid_page_has_no_tail() {
        let (recorder, writer) = pair();
        for (base, filled) in [(0, BUFFER_BYTES as u64 + 1), (0, u64::MAX), (u64::MAX, 1)] {
            writer.page.word(BASE).store(base, Relaxed);
            writer.page.word(FILLED).store(filled, Relaxed);
            assert_eq!(tail(&recorder, 100), None);
        }
        writer.page.word(BASE).store(0, Relaxed);
        assert_eq!(tail(&recorder, u64::MAX), Some(vec![]));
    }

    #[test]
    fn the_size_of_the_page_never_changes() {
        let (_recorder, memory) = Recorder::create().unwrap();
        let file = std::fs::File::from(memory);
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
        assert!(RecorderWriter::open(file.as_fd(), 0).is_ok());
        assert!(RecorderWriter::open(sealed_memory(4096).unwrap().as_fd(), 0).is_err());
    }

    /// Of a start and a retraction one is first, and both sides agree on which.
    #[test]
    fn both_sides_agree_whether_a_job_started_before_a_retraction() {
        let (recorder, writer) = pair();
        thread::scope(|scope| {
            let runs = scope.spawn(|| {
                let mut last_run = 0;
                let mut stops = Vec::new();
                for seq in 1..=20_000 {
                    if writer.start(seq) {
                        last_run = seq;
                    } else {
                        stops.push(last_run);
                        writer.resume();
                    }
                }
                stops
            });
            let mut retracted = Vec::new();
            while !runs.is_finished() {
                retracted.extend(recorder.retract());
            }
            let noticed = runs.join().unwrap();
            assert_eq!(noticed[..], retracted[..noticed.len()]);
            assert!(retracted.len() <= noticed.len() + 1);
        });
    }

    /// The worker flushes and refills the buffer meanwhile; every tail that is read is correct.
    #[test]
    fn a_tail_read_while_the_worker_writes_is_whole_or_none() {
        let byte = |place: u64| u8::try_from(place % 251).unwrap();
        let (recorder, mut writer) = pair();
        let is_enough = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0u64.. {
                    let place = writer.base + writer.filled as u64;
                    let reply: Vec<u8> = (place..place + 3 + round % 40).map(byte).collect();
                    if round % 99 == 0 || !writer.append(&reply[..1], &reply[1..]) {
                        writer.clear();
                    }
                    if is_enough.load(Relaxed) {
                        break;
                    }
                }
            });
            // Asserted at the end, because a panic here would leave the other thread running.
            let mut is_right = true;
            for _ in 0..300 {
                let (from, bytes) = iter::repeat_with(|| recorder.0.word(BASE).load(Relaxed))
                    .find_map(|from| Some((from, tail(&recorder, from)?)))
                    .unwrap();
                is_right &= (from..).zip(&bytes).all(|(place, found)| *found == byte(place));
            }
            is_enough.store(true, Relaxed);
            assert!(is_right);
        });
    }
}
