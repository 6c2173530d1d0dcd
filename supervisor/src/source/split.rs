//! Splits a stream of bytes into jobs at each separator, wherever the reads end, and gathers the jobs
//! in batches.

use std::mem;

use memchr::memchr_iter;

use pool::job::{Job, Payload};

use super::batch::{Batch, Disconnected};
use crate::settings::Separator;

/// Largest number of jobs in a batch.
pub(super) const BATCH_JOBS_MAX: usize = 1024;
/// Largest size of a batch; a job that is longer has a batch of its own.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 10;

/// Gathers jobs and sends them in batches.
#[derive(Debug)]
pub(super) struct Batcher<S> {
    send: S,
    jobs: Vec<Job>,
    bytes: usize,
    /// Number of jobs in the last batch, which is the capacity of the next one. A slow input must
    /// not cost a large allocation per line.
    usual: usize,
}

impl<S: FnMut(Batch) -> Result<(), Disconnected>> Batcher<S> {
    pub(super) fn new(send: S) -> Self {
        Self { send, jobs: Vec::new(), bytes: 0, usual: 0 }
    }

    fn push(&mut self, job: Job) -> Result<(), Disconnected> {
        let bytes = job.payload.len();
        let full = self.jobs.len() == BATCH_JOBS_MAX || self.bytes + bytes > BATCH_BYTES_MAX;
        if full {
            self.flush()?;
        }
        if self.jobs.is_empty() {
            self.jobs.reserve(self.usual);
        }
        self.bytes += bytes;
        self.jobs.push(job);
        Ok(())
    }

    /// Sends something other than jobs, after the jobs before it.
    pub(super) fn send(&mut self, batch: Batch) -> Result<(), Disconnected> {
        self.flush()?;
        (self.send)(batch)
    }

    /// Sends the gathered jobs. Called after each read, because the next one may block.
    pub(super) fn flush(&mut self) -> Result<(), Disconnected> {
        if self.jobs.is_empty() {
            return Ok(());
        }
        self.usual = self.jobs.len();
        self.bytes = 0;
        (self.send)(Batch::Jobs(mem::take(&mut self.jobs)))
    }
}

/// Splits bytes into jobs.
#[derive(Debug)]
pub(super) struct Splitter {
    separator: u8,
    job_bytes_max: usize,
    /// Position of the last job.
    position: u64,
    /// Beginning of a job whose end has not been read yet.
    held: Vec<u8>,
    /// Length so far of a job that is too long and therefore not held; otherwise 0.
    skipped: u64,
    /// Length of the last long job, which is the capacity reserved for the next one: growing the
    /// buffer step by step would copy the job twice.
    usual: usize,
}

/// Largest buffer that is kept from job to job.
const KEPT_BYTES_MAX: usize = 256 << 10;

impl Splitter {
    pub(super) fn new(separator: Separator, job_bytes_max: usize) -> Self {
        let separator = match separator {
            Separator::Newline => b'\n',
            Separator::Nul => 0,
        };
        Self { separator, job_bytes_max, position: 0, held: Vec::new(), skipped: 0, usual: 0 }
    }

    /// Splits a piece of the input; the bytes after the last separator are held.
    pub(super) fn split<S>(
        &mut self,
        piece: &[u8],
        out: &mut Batcher<S>,
    ) -> Result<(), Disconnected>
    where
        S: FnMut(Batch) -> Result<(), Disconnected>,
    {
        let mut start = 0;
        for end in memchr_iter(self.separator, piece) {
            self.line(&piece[start..end], out)?;
            start = end + 1;
        }
        self.hold(&piece[start..]);
        Ok(())
    }

    /// Ends the input: the held bytes are a job.
    pub(super) fn finish<S>(&mut self, out: &mut Batcher<S>) -> Result<(), Disconnected>
    where
        S: FnMut(Batch) -> Result<(), Disconnected>,
    {
        if self.held.is_empty() && self.skipped == 0 { Ok(()) } else { self.line(b"", out) }
    }

    /// Starts again with a new input. Returns the number of bytes that were held and are discarded.
    pub(super) fn restart(&mut self) -> u64 {
        self.position = 0;
        mem::take(&mut self.held).len() as u64 + mem::take(&mut self.skipped)
    }

    /// Whether jobs end with a zero byte.
    pub(super) fn separates_by_zero(&self) -> bool {
        self.separator == 0
    }

    /// Ends a job; `rest` is all of it or what follows the held bytes.
    pub(super) fn line<S>(&mut self, rest: &[u8], out: &mut Batcher<S>) -> Result<(), Disconnected>
    where
        S: FnMut(Batch) -> Result<(), Disconnected>,
    {
        self.position += 1;
        let position = self.position;
        let is_whole = self.held.is_empty() && self.skipped == 0;
        if is_whole && rest.len() <= self.job_bytes_max {
            return out.push(Job { payload: Payload::copy(rest), position });
        }
        self.hold(rest);
        let bytes = mem::take(&mut self.skipped);
        if bytes > 0 {
            return out.send(Batch::TooLong { position, bytes });
        }
        let is_long = self.held.len() > KEPT_BYTES_MAX;
        self.usual = if is_long { self.held.len() } else { 0 };
        let payload = if is_long {
            self.held.shrink_to_fit();
            Payload::take(mem::take(&mut self.held), 0)
        } else {
            Payload::copy(&self.held)
        };
        self.held.clear();
        self.held.shrink_to(KEPT_BYTES_MAX);
        out.push(Job { payload, position })
    }

    /// Holds a part of a job, unless the job is too long.
    fn hold(&mut self, part: &[u8]) {
        let length = self.held.len() + part.len();
        if self.skipped > 0 || length > self.job_bytes_max {
            self.skipped += length as u64;
            self.held = Vec::new();
        } else {
            if self.held.is_empty() && !part.is_empty() {
                self.held.reserve(self.usual.max(part.len()));
            }
            self.held.extend_from_slice(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What comes of these pieces, and what of a plain split of the whole.
    fn cut(pieces: &[&[u8]], separator: Separator, max: usize, flush: bool) -> Vec<Batch> {
        let mut batches = Vec::new();
        let mut out = Batcher::new(|batch| {
            batches.push(batch);
            Ok(())
        });
        let mut splitter = Splitter::new(separator, max);
        for piece in pieces {
            splitter.split(piece, &mut out).unwrap();
            if flush {
                out.flush().unwrap();
            }
            assert!(splitter.held.len() <= max);
        }
        splitter.finish(&mut out).unwrap();
        out.flush().unwrap();
        batches
    }

    type Line = (u64, Result<Vec<u8>, u64>);

    fn lines(batches: Vec<Batch>) -> Vec<Line> {
        let line = |batch| match batch {
            Batch::Jobs(jobs) => {
                let one = |job: Job| (job.position, Ok(job.payload.as_bytes().to_vec()));
                jobs.into_iter().map(one).collect::<Vec<_>>()
            }
            Batch::TooLong { position, bytes } => vec![(position, Err(bytes))],
            other => panic!("{other:?}"),
        };
        batches.into_iter().flat_map(line).collect()
    }

    fn expected(text: &[u8], separator: u8, max: usize) -> Vec<Line> {
        let whole = text.strip_suffix(&[separator]).unwrap_or(text);
        let parts = whole.split(|byte| *byte == separator).filter(|_| !text.is_empty());
        let fits = |part: &[u8]| {
            if part.len() <= max { Ok(part.to_vec()) } else { Err(part.len() as u64) }
        };
        (1..).zip(parts.map(fits)).collect()
    }

    #[test]
    fn a_batch_is_bounded_in_jobs_and_bytes() {
        let text = b"x\n".repeat(BATCH_JOBS_MAX * 2 + 1);
        let sizes = |text: &[u8]| {
            let batches = cut(&[text], Separator::Newline, 1 << 20, false);
            let size = |batch: &Batch| match batch {
                Batch::Jobs(jobs) => jobs.len(),
                _ => 0,
            };
            batches.iter().map(size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&text), [BATCH_JOBS_MAX, BATCH_JOBS_MAX, 1]);
        let long = [&b"a\n"[..], &b"x".repeat(BATCH_BYTES_MAX), b"\nb\nc\n"].concat();
        assert_eq!(sizes(&long), [1, 1, 2]);
    }

    #[test]
    fn no_batch_follows_a_disconnection() {
        let mut given = 0;
        let mut out = Batcher::new(|_| {
            given += 1;
            Err(Disconnected)
        });
        let mut splitter = Splitter::new(Separator::Newline, 9);
        assert_eq!(splitter.split(&b"x\n".repeat(9999), &mut out), Err(Disconnected));
        assert_eq!(given, 1);
    }

    proptest! {
        #[test]
        fn the_jobs_do_not_depend_on_where_reads_end(
            text in prop::collection::vec(prop::sample::select(b"ab\n\0".to_vec()), 0..80),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            (max, nul, flush) in (0usize..9, any::<bool>(), any::<bool>()),
        ) {
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(text.len() + 1)).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect();
            let (separator, byte) =
                if nul { (Separator::Nul, 0) } else { (Separator::Newline, b'\n') };
            let expected = expected(&text, byte, max);
            prop_assert_eq!(lines(cut(&pieces, separator, max, flush)), &expected[..]);
            // Also with a single cut at every position.
            for at in 0..=text.len() {
                let (one, two) = text.split_at(at);
                prop_assert_eq!(lines(cut(&[one, two], separator, max, flush)), &expected[..]);
            }
        }
    }
}
