//! Gathers what running commands write until it can be shown: the whole output of a command, or a
//! long line of it. It is kept in memory, and beyond a bound in one temporary file for all commands.

use std::{
    collections::BTreeMap,
    fs::File,
    io, mem,
    ops::Range,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use nix::fcntl::{FallocateFlags, fallocate};

use super::{Stream, order::SpillError};
use pool::{
    command::{Captured, Gap, Stored},
    event::WorkerId,
};

/// The most bytes of one stream that are gathered in memory; when there are more, they go to the
/// file.
const MEMORY_BYTES: usize = 256 << 10;

/// What a stream belongs to: the worker, the number of its job, and 1 for stdout or 2 for stderr.
type Key = (WorkerId, u64, u8);

/// The streams that are being gathered.
#[derive(Debug, Default)]
pub(super) struct Spool {
    file: Arc<SpoolFile>,
    streams: BTreeMap<Key, Gathered>,
    /// Why the file takes no more, until the caller takes it.
    failure: Option<SpillError>,
}

/// A stream, or a part of one, in the order in which it came.
#[derive(Debug)]
pub(super) struct Gathered {
    file: Arc<SpoolFile>,
    /// Ranges of the file, each with the number of bytes before it.
    extents: Vec<(u64, Range<u64>)>,
    /// What follows them.
    memory: Vec<u8>,
    /// Bytes that the file had no room for. Nothing is gathered behind them.
    lost: u64,
}

/// A file without a name in `TMPDIR`, created when it is first written to.
#[derive(Debug, Default)]
struct SpoolFile(Mutex<Space>);

#[derive(Debug, Default)]
struct Space {
    file: Option<Arc<File>>,
    end: u64,
    /// The bytes that something refers to.
    used: u64,
}

impl Spool {
    /// Appends to a stream.
    pub(super) fn append(&mut self, worker: WorkerId, job: u64, stream: u8, bytes: &[u8]) {
        let new = || Gathered::new(Arc::clone(&self.file));
        let gathered = self.streams.entry((worker, job, stream)).or_insert_with(new);
        if let Err(error) = gathered.append(bytes)
            && self.failure.is_none()
        {
            self.failure = Some(SpillError::of_commands(error));
        }
    }

    /// Takes what was gathered of a stream.
    pub(super) fn take(&mut self, worker: WorkerId, job: u64, stream: u8) -> Option<Gathered> {
        self.streams.remove(&(worker, job, stream))
    }

    /// Takes what was gathered of the streams of a worker that has ended.
    pub(super) fn take_all(&mut self, worker: WorkerId) -> Vec<(u64, Stream, Gathered)> {
        let of_worker = (worker, 0, 0)..=(worker, u64::MAX, u8::MAX);
        let keys: Vec<Key> = self.streams.range(of_worker).map(|(key, _)| *key).collect();
        let taken = keys.into_iter().filter_map(|key| Some((key, self.streams.remove(&key)?)));
        taken.map(|((_, job, stream), gathered)| (job, Stream::of(stream), gathered)).collect()
    }

    /// Puts what was gathered of a job's output in front of the end of it.
    pub(super) fn complete(&mut self, worker: WorkerId, job: u64, output: &mut Captured) {
        for index in [0, 1] {
            if let Some(gathered) = self.take(worker, job, index + 1) {
                let lost = Gap { at: gathered.bytes(), bytes: gathered.lost };
                output.precede(usize::from(index), Arc::new(gathered), lost);
            }
        }
    }

    /// Why output was lost; returned once each time.
    pub(super) fn take_failure(&mut self) -> Option<SpillError> {
        self.failure.take()
    }
}

impl Gathered {
    fn new(file: Arc<SpoolFile>) -> Self {
        Self { file, extents: Vec::new(), memory: Vec::new(), lost: 0 }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.lost > 0 {
            self.lost += bytes.len() as u64;
            return Ok(());
        }
        self.memory.extend_from_slice(bytes);
        if self.memory.len() <= MEMORY_BYTES {
            return Ok(());
        }
        let bytes = mem::take(&mut self.memory);
        match self.file.append(&bytes) {
            Ok(range) => {
                match self.extents.last_mut() {
                    Some((_, last)) if last.end == range.start => last.end = range.end,
                    _ => self.extents.push((self.bytes(), range)),
                }
                Ok(())
            }
            Err(error) => {
                self.lost += bytes.len() as u64;
                Err(error)
            }
        }
    }

    /// The bytes, if none of them are in the file and none are lost.
    pub(super) fn in_memory(&mut self) -> Option<Vec<u8>> {
        (self.extents.is_empty() && self.lost == 0).then(|| mem::take(&mut self.memory))
    }

    /// Turns a line into output, with what is missing of it, to be followed by its end.
    pub(super) fn into_captured(self, end: &[u8]) -> Captured {
        let lost = Gap { at: self.bytes(), bytes: self.lost };
        let end_bytes = end.len();
        let mut captured = Captured::new(
            pool::job::Payload::copy(end),
            [0..end_bytes, end_bytes..end_bytes],
            [Gap::default(); 2],
        );
        captured.precede(0, Arc::new(self), lost);
        captured
    }

    fn stored_bytes(&self) -> u64 {
        self.extents.last().map_or(0, |(before, range)| before + (range.end - range.start))
    }
}

impl Stored for Gathered {
    fn bytes(&self) -> u64 {
        self.stored_bytes() + self.memory.len() as u64
    }

    fn read(&self, mut at: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let missing = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let first = self.extents.partition_point(|(before, _)| *before <= at).saturating_sub(1);
        for (before, range) in &self.extents[first..] {
            let Some(skipped) = at.checked_sub(*before) else { break };
            let start = range.start + skipped;
            let length = range.end.saturating_sub(start).min(buffer.len() as u64);
            let (piece, rest) = buffer.split_at_mut(usize::try_from(length).unwrap_or(0));
            self.file.read(piece, start)?;
            (at, buffer) = (at + length, rest);
        }
        if !buffer.is_empty() {
            let from = usize::try_from(at - self.stored_bytes()).map_err(|_| missing())?;
            let bytes = self.memory.get(from..from + buffer.len()).ok_or_else(missing)?;
            buffer.copy_from_slice(bytes);
        }
        Ok(())
    }
}

impl Drop for Gathered {
    fn drop(&mut self) {
        self.extents.drain(..).for_each(|(_, range)| self.file.free(&range));
    }
}

impl SpoolFile {
    fn append(&self, bytes: &[u8]) -> io::Result<Range<u64>> {
        let mut space = self.lock();
        let file = match &space.file {
            Some(file) => Arc::clone(file),
            None => Arc::clone(space.file.insert(Arc::new(tempfile::tempfile()?))),
        };
        let start = space.end;
        if let Err(error) = file.write_all_at(bytes, start) {
            punch(&file, &(start..start + bytes.len() as u64));
            return Err(error);
        }
        space.end += bytes.len() as u64;
        space.used += bytes.len() as u64;
        Ok(start..space.end)
    }

    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let file = self.lock().file.clone();
        file.ok_or(io::ErrorKind::NotFound)?.read_exact_at(bytes, at)
    }

    fn free(&self, range: &Range<u64>) {
        let mut space = self.lock();
        space.used -= range.end - range.start;
        if space.used == 0 {
            space.end = 0;
        }
        if let Some(file) = &space.file {
            punch(file, range);
        }
    }

    /// Locks the space. A poisoned lock is fine, because every change of it is one step.
    fn lock(&self) -> MutexGuard<'_, Space> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Gives the space of a range back. On a file system that cannot do this, it is free at the end of
/// the run.
fn punch(file: &File, range: &Range<u64>) {
    let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    if let (Ok(start), Ok(length)) = (range.start.try_into(), (range.end - range.start).try_into())
    {
        let _ = fallocate(file, mode, start, length);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORKER: WorkerId = WorkerId { slot: 1, generation: 1 };

    fn bytes_of(job: u64, count: usize) -> Vec<u8> {
        format!("{job},").into_bytes().into_iter().cycle().take(count).collect()
    }

    #[test]
    fn streams_that_come_in_turns_are_each_read_back() {
        let mut spool = Spool::default();
        let whole = bytes_of(1, MEMORY_BYTES * 5 + 7);
        for piece in whole.chunks(100_000) {
            spool.append(WORKER, 1, 1, piece);
            spool.append(WORKER, 2, 1, &bytes_of(2, 130_000));
        }
        let gathered = spool.take(WORKER, 1, 1).unwrap();
        assert!(gathered.extents.len() > 1 && gathered.bytes() == whole.len() as u64);
        for (at, length) in [(0, whole.len()), (1, 3), (300_000, 600_000), (whole.len() - 1, 1)] {
            let mut read = vec![0; length];
            gathered.read(at as u64, &mut read).unwrap();
            assert!(read == whole[at..at + length], "{at}");
        }
        assert!(gathered.read(whole.len() as u64, &mut [0]).is_err());
        drop(gathered);
        let mut all = spool.take_all(WORKER);
        assert_eq!(all.iter().map(|(job, ..)| *job).collect::<Vec<_>>(), [2]);
        all.clear();
        let space = spool.file.lock();
        assert_eq!((space.used, space.end), (0, 0));
    }
}
