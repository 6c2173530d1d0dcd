//! Which job was running when a worker died, and what had it answered that never reached the
//! pipe? The *flight recorder* tells: memory that supervisor and worker share, and that outlives
//! the worker.
//!
//! | offset | what |
//! |---|---|
//! | 0 | `u64` gate: `(seq << 1) \| recalled`. `seq` counts the `Job` frames of this life from 1, and names the one that is run, or was run last |
//! | 8 | `u64` base: the place in the reply stream, counted from the first byte the worker ever wrote to the reply pipe, of the buffer's first byte |
//! | 16 | `u64` filled: bytes in the buffer |
//! | 4096 | the buffer, 64 KiB: replies that were not yet written to the pipe |
//!
//! Numbers are in the machine's own order. The worker writes all of it but the *recalled* bit,
//! and every store is in an order that leaves the page right if the worker dies behind it. The
//! gate is changed by one compare-and-exchange, so that of a recall and a start one is first, and
//! both sides know which.

#![expect(unsafe_code, reason = "memory that another process writes too")]

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
const BUFFER: usize = 4096;

/// Bytes of replies that the page holds.
pub const BUFFER_BYTES: usize = 64 << 10;

/// Bytes of the whole.
pub const PAGE_BYTES: usize = BUFFER + BUFFER_BYTES;

const RECALLED: u64 = 1;

#[derive(Debug)]
struct Page(Mapping);

impl Page {
    fn map(memory: BorrowedFd<'_>) -> io::Result<Self> {
        Ok(Self(Mapping::new(memory, PAGE_BYTES)?))
    }

    fn word(&self, offset: usize) -> &AtomicU64 {
        debug_assert!(offset < BUFFER && offset.is_multiple_of(8));
        // SAFETY: within the mapping, aligned, and touched by both sides as an atomic only.
        unsafe { self.0.start().add(offset).cast::<AtomicU64>().as_ref() }
    }
}

/// The supervisor's side. Nothing that it reads is trusted: the worker may write what it likes.
#[derive(Debug)]
pub struct Recorder(Page);

impl Recorder {
    /// A new page, and the descriptor by which one worker shall have it.
    ///
    /// # Errors
    /// No more memory or descriptors.
    pub fn create() -> io::Result<(Self, OwnedFd)> {
        let memory = sealed_memory(PAGE_BYTES)?;
        Ok((Self(Page::map(memory.as_fd())?), memory))
    }

    /// Lets no further job start, and says which is running at that very moment, or was run last
    /// (0: none yet). `None` when that was so already: the worker has not come past the last
    /// `Resume`.
    #[must_use = "which jobs were recalled depends on it"]
    pub fn recall(&self) -> Option<u64> {
        let gate = self.0.word(GATE).fetch_or(RECALLED, AcqRel);
        (gate & RECALLED == 0).then_some(gate >> 1)
    }

    /// Which job runs, or ran last, and whether the others are recalled.
    #[must_use]
    pub fn running(&self) -> (u64, bool) {
        let gate = self.0.word(GATE).load(Acquire);
        (gate >> 1, gate & RECALLED != 0)
    }

    /// Appends the replies in the buffer from this place of the reply stream on: none where the
    /// pipe has brought them all. `None`, and `out` as it was, where earlier bytes must come
    /// through the pipe first, where the worker changed the buffer meanwhile, or where the page
    /// holds nonsense.
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
        // the room. The bytes may change under the copy, which is why they are bytes, copied
        // before they are looked at, and dropped below if that can have happened.
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

/// The worker's side.
#[derive(Debug)]
pub struct RecorderWriter {
    page: Page,
    /// What the page says, which only we change.
    base: u64,
    filled: usize,
}

impl RecorderWriter {
    /// Maps the page; `position` is how many bytes were written to the reply pipe before.
    pub fn open(memory: BorrowedFd<'_>, position: u64) -> io::Result<Self> {
        let page = Page::map(memory)?;
        page.word(BASE).store(position, Release);
        Ok(Self { page, base: position, filled: 0 })
    }

    /// Whether job number `seq` of this life may be run. If so, the page says from now on that it
    /// runs; if not, it and all that follow were recalled.
    pub fn start(&self, seq: u64) -> bool {
        let gate = self.page.word(GATE);
        let mut seen = gate.load(Relaxed);
        // From whatever it is: those that were recalled never stood there.
        while seen & RECALLED == 0 {
            match gate.compare_exchange_weak(seen, seq << 1, AcqRel, Relaxed) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }

    /// From here on, jobs count again.
    pub fn resume(&self) {
        self.page.word(GATE).fetch_and(!RECALLED, AcqRel);
    }

    /// Adds a reply of two parts to the buffer; `false` where it does not fit behind the others.
    pub fn append(&mut self, head: &[u8], body: &[u8]) -> bool {
        let length = head.len() + body.len();
        if length > BUFFER_BYTES - self.filled {
            return false;
        }
        // SAFETY: the bytes from `filled` on are in the mapping, nobody else writes them, and no
        // slice of them is alive: `unwritten` borrows this value.
        unsafe {
            let to = self.page.0.start().add(BUFFER + self.filled).as_ptr();
            to.copy_from_nonoverlapping(head.as_ptr(), head.len());
            to.add(head.len()).copy_from_nonoverlapping(body.as_ptr(), body.len());
        }
        self.filled += length;
        self.page.word(FILLED).store(self.filled as u64, Release);
        true
    }

    /// The replies in the buffer, to be written to the pipe.
    pub fn unwritten(&self) -> &[u8] {
        // SAFETY: in the mapping, and written by `append` alone, which borrows this value
        // exclusively; the supervisor only reads here.
        unsafe { slice::from_raw_parts(self.page.0.start().add(BUFFER).as_ptr(), self.filled) }
    }

    /// The buffer was written to the pipe, all of it.
    pub fn written(&mut self) {
        let length = self.filled as u64;
        self.filled = 0;
        // In this order: after a death between the two, the buffer is empty at a place that the
        // pipe is past, where the other way round its old bytes would look like new ones.
        self.page.word(FILLED).store(0, Release);
        self.passed(length);
    }

    /// So many bytes went to the pipe and never through the buffer, which is empty.
    pub fn passed(&mut self, bytes: u64) {
        self.base += bytes;
        self.page.word(BASE).store(self.base, Release);
        // Whoever sees what is next put into the buffer shall see the new base too.
        fence(Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{iter, sync::atomic::AtomicBool, thread};

    fn pair() -> (Recorder, RecorderWriter) {
        let (recorder, memory) = Recorder::create().unwrap();
        let keeper = RecorderWriter::open(memory.as_fd(), 100).unwrap();
        (recorder, keeper)
    }

    fn tail(recorder: &Recorder, from: u64) -> Option<Vec<u8>> {
        let mut out = b"before".to_vec();
        let told = recorder.tail(from, &mut out);
        assert!(out.starts_with(b"before") && (told.is_some() || out.len() == 6));
        told.map(|()| out.split_off(6))
    }

    #[test]
    fn a_recall_stops_what_follows_until_it_is_resumed() {
        let (recorder, keeper) = pair();
        assert_eq!(recorder.running(), (0, false));
        assert!(keeper.start(1));
        assert_eq!(recorder.recall(), Some(1));
        assert!(!keeper.start(2) && !keeper.start(3));
        assert_eq!((recorder.recall(), recorder.running()), (None, (1, true)));
        keeper.resume();
        assert!(keeper.start(4));
        assert_eq!((recorder.running(), recorder.recall()), ((4, false), Some(4)));
    }

    #[test]
    fn the_tail_is_what_the_pipe_has_not_brought() {
        let (recorder, mut keeper) = pair();
        assert_eq!(tail(&recorder, 100), Some(vec![]));
        assert!(keeper.append(b"ab", b"cd") && keeper.append(b"ef", b""));
        assert_eq!(tail(&recorder, 100).as_deref(), Some(&b"abcdef"[..]));
        assert_eq!(tail(&recorder, 103).as_deref(), Some(&b"def"[..]));
        // Written, and dead before the page says so; and dead between its two stores.
        assert_eq!(tail(&recorder, 106), Some(vec![]));
        keeper.page.word(FILLED).store(0, Release);
        assert_eq!(tail(&recorder, 106), Some(vec![]));
        keeper.written();
        assert!(keeper.append(b"g", b""));
        assert_eq!(tail(&recorder, 105), None);
        assert_eq!(tail(&recorder, 106).as_deref(), Some(&b"g"[..]));
        assert_eq!(keeper.unwritten(), b"g");
    }

    #[test]
    fn what_does_not_fit_is_refused_whole() {
        let (recorder, mut keeper) = pair();
        assert!(keeper.append(&[1], &vec![2; BUFFER_BYTES - 2]));
        assert!(!keeper.append(&[3], &[3]) && keeper.append(&[3], &[]));
        assert_eq!(tail(&recorder, 100).unwrap().len(), BUFFER_BYTES);
    }

    #[test]
    fn nonsense_on_the_page_is_no_tail() {
        let (recorder, keeper) = pair();
        for (base, filled) in [(0, BUFFER_BYTES as u64 + 1), (0, u64::MAX), (u64::MAX, 1)] {
            keeper.page.word(BASE).store(base, Relaxed);
            keeper.page.word(FILLED).store(filled, Relaxed);
            assert_eq!(tail(&recorder, 100), None);
        }
        keeper.page.word(BASE).store(0, Relaxed);
        assert_eq!(tail(&recorder, u64::MAX), Some(vec![]));
    }

    #[test]
    fn the_page_has_one_size_for_ever() {
        let (_recorder, memory) = Recorder::create().unwrap();
        let file = std::fs::File::from(memory);
        assert!(file.set_len(0).is_err() && file.set_len(1 << 20).is_err());
        assert!(RecorderWriter::open(file.as_fd(), 0).is_ok());
        assert!(RecorderWriter::open(sealed_memory(4096).unwrap().as_fd(), 0).is_err());
    }

    /// Of a start and a recall, one is first, and both sides agree which.
    #[test]
    fn a_recall_and_a_start_never_miss_one_another() {
        let (recorder, keeper) = pair();
        thread::scope(|scope| {
            let runs = scope.spawn(|| {
                let mut last_run = 0;
                let mut recalls = Vec::new();
                for seq in 1..=20_000 {
                    if keeper.start(seq) {
                        last_run = seq;
                    } else {
                        recalls.push(last_run);
                        keeper.resume();
                    }
                }
                recalls
            });
            let mut recalled = Vec::new();
            while !runs.is_finished() {
                recalled.extend(recorder.recall());
            }
            let noticed = runs.join().unwrap();
            assert_eq!(noticed[..], recalled[..noticed.len()]);
            assert!(recalled.len() <= noticed.len() + 1);
        });
    }

    /// A living worker flushes and refills; whatever the tail gives is what belongs there.
    #[test]
    fn a_tail_of_a_living_worker_is_whole_or_none() {
        let byte = |place: u64| u8::try_from(place % 251).unwrap();
        let (recorder, mut keeper) = pair();
        let is_enough = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                for round in 0u64.. {
                    let place = keeper.base + keeper.filled as u64;
                    let reply: Vec<u8> = (place..place + 3 + round % 40).map(byte).collect();
                    if round % 99 == 0 || !keeper.append(&reply[..1], &reply[1..]) {
                        keeper.written();
                    }
                    if is_enough.load(Relaxed) {
                        break;
                    }
                }
            });
            // Not asserted at once, or the other thread would go on for ever.
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
