//! How does a stream of bytes become jobs? Cut at each separator, whatever pieces it comes in,
//! and handed on in batches.

use std::mem;

use memchr::memchr_iter;

use super::Supply;
use crate::settings::Separator;
use pool::job::{Job, Payload};

/// A batch has at most so many jobs.
pub(super) const BATCH_JOBS_MAX: usize = 1024;
/// A batch has about so many bytes; a job that is longer goes alone.
pub(super) const BATCH_BYTES_MAX: usize = 256 << 10;

/// Nobody takes jobs any more.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Unwanted;

/// Jobs on their way, gathered.
#[derive(Debug)]
pub(super) struct Batches<S> {
    send: S,
    jobs: Vec<Job>,
    bytes: usize,
    /// How many the last batch had: a trickle shall not cost a large allocation a line.
    usual: usize,
}

impl<S: FnMut(Supply) -> Result<(), Unwanted>> Batches<S> {
    pub(super) fn new(send: S) -> Self {
        Self { send, jobs: Vec::new(), bytes: 0, usual: 0 }
    }

    fn push(&mut self, job: Job) -> Result<(), Unwanted> {
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

    /// Hands on what is not a job, after the jobs before it.
    pub(super) fn say(&mut self, supply: Supply) -> Result<(), Unwanted> {
        self.flush()?;
        (self.send)(supply)
    }

    /// Hands on what there is: the next read may wait for long.
    pub(super) fn flush(&mut self) -> Result<(), Unwanted> {
        if self.jobs.is_empty() {
            return Ok(());
        }
        self.usual = self.jobs.len();
        self.bytes = 0;
        (self.send)(Supply::Jobs(mem::take(&mut self.jobs)))
    }
}

/// Cuts bytes into jobs.
#[derive(Debug)]
pub(super) struct Splitter {
    separator: u8,
    job_bytes_max: usize,
    /// Where the last job stands.
    position: u64,
    /// The beginning of a job whose end has not come yet.
    held: Vec<u8>,
    /// The length so far of one that is too long already, and no longer held; else 0.
    skipped: u64,
    /// How long the last job was that did not fit a buffer, and so the next one may be: growing
    /// to that by and by would copy it twice.
    usual: usize,
}

/// A longer buffer is not kept from job to job.
const KEPT_BYTES_MAX: usize = 256 << 10;

impl Splitter {
    pub(super) fn new(separator: Separator, job_bytes_max: usize) -> Self {
        let separator = match separator {
            Separator::Newline => b'\n',
            Separator::Nul => 0,
        };
        Self { separator, job_bytes_max, position: 0, held: Vec::new(), skipped: 0, usual: 0 }
    }

    /// Cuts a piece; what follows the last separator is held.
    pub(super) fn split<S>(&mut self, piece: &[u8], out: &mut Batches<S>) -> Result<(), Unwanted>
    where
        S: FnMut(Supply) -> Result<(), Unwanted>,
    {
        let mut start = 0;
        for end in memchr_iter(self.separator, piece) {
            self.line(&piece[start..end], out)?;
            start = end + 1;
        }
        self.hold(&piece[start..]);
        Ok(())
    }

    /// The end of the input: what is held is a job.
    pub(super) fn finish<S>(&mut self, out: &mut Batches<S>) -> Result<(), Unwanted>
    where
        S: FnMut(Supply) -> Result<(), Unwanted>,
    {
        if self.held.is_empty() && self.skipped == 0 { Ok(()) } else { self.line(b"", out) }
    }

    /// The input begins anew: what is held was never completed.
    pub(super) fn restart(&mut self) {
        (self.position, self.skipped) = (0, 0);
        self.held = Vec::new();
    }

    /// A job, or the rest of the one that is held.
    pub(super) fn line<S>(&mut self, rest: &[u8], out: &mut Batches<S>) -> Result<(), Unwanted>
    where
        S: FnMut(Supply) -> Result<(), Unwanted>,
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
            return out.say(Supply::TooLong { position, bytes });
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

    /// Keeps a part of a job, unless it is too long already.
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
    fn cut(pieces: &[&[u8]], separator: Separator, max: usize, flush: bool) -> Vec<Supply> {
        let mut supplies = Vec::new();
        let mut out = Batches::new(|supply| {
            supplies.push(supply);
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
        supplies
    }

    type Line = (u64, Result<Vec<u8>, u64>);

    fn lines(supplies: Vec<Supply>) -> Vec<Line> {
        let line = |supply| match supply {
            Supply::Jobs(jobs) => {
                let one = |job: Job| (job.position, Ok(job.payload.as_bytes().to_vec()));
                jobs.into_iter().map(one).collect::<Vec<_>>()
            }
            Supply::TooLong { position, bytes } => vec![(position, Err(bytes))],
            other => panic!("{other:?}"),
        };
        supplies.into_iter().flat_map(line).collect()
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
            let supplies = cut(&[text], Separator::Newline, 1 << 20, false);
            let size = |supply: &Supply| match supply {
                Supply::Jobs(jobs) => jobs.len(),
                _ => 0,
            };
            supplies.iter().map(size).collect::<Vec<_>>()
        };
        assert_eq!(sizes(&text), [BATCH_JOBS_MAX, BATCH_JOBS_MAX, 1]);
        let long = [&b"a\n"[..], &b"x".repeat(BATCH_BYTES_MAX), b"\nb\nc\n"].concat();
        assert_eq!(sizes(&long), [1, 1, 2]);
    }

    #[test]
    fn whoever_takes_no_more_is_given_no_more() {
        let mut given = 0;
        let mut out = Batches::new(|_| {
            given += 1;
            Err(Unwanted)
        });
        let mut splitter = Splitter::new(Separator::Newline, 9);
        assert_eq!(splitter.split(&b"x\n".repeat(9999), &mut out), Err(Unwanted));
        assert_eq!(given, 1);
    }

    proptest! {
        #[test]
        fn the_jobs_are_the_same_wherever_the_reads_are_cut(
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
            // And at every cut in two.
            for at in 0..=text.len() {
                let (one, two) = text.split_at(at);
                prop_assert_eq!(lines(cut(&[one, two], separator, max, flush)), &expected[..]);
            }
        }
    }
}
