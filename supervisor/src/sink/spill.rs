//! A temporary file for outcomes that wait for their turn and exceed memory. It holds segments that
//! are sorted by sequence number; memory holds the position of each, and small buffers for those
//! that are due next.

use std::{collections::BTreeMap, fmt, fs::File, io, mem, ops::Range, os::unix::fs::FileExt};

use nix::fcntl::{FallocateFlags, fallocate};

use pool::job::Payload;

/// The size of the buffer of a segment that is being read, in bytes.
const BUFFER_BYTES: usize = 32 << 10;
/// The most segments that have a buffer at the same time.
const BUFFERS_MAX: usize = 16;
/// The number of bytes that are gathered for a write.
const WRITE_BYTES: usize = 256 << 10;
/// The size of what precedes each record: its sequence number and its length, in bytes.
const HEADER_BYTES: u64 = 16;

/// The operations of a temporary file; tests simulate one.
pub(super) trait Store: fmt::Debug {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()>;
    fn read(&mut self, bytes: &mut [u8], at: u64) -> io::Result<()>;
    /// Frees a range that is not needed any more.
    fn free(&mut self, range: Range<u64>);
}

/// A file without a name in `TMPDIR`, created at the first write. The kernel removes it when the
/// supervisor ends, however that happens.
#[derive(Debug, Default)]
pub(super) struct Temporary(Option<File>);

/// The segments.
#[derive(Debug)]
pub(super) struct Spill {
    store: Box<dyn Store>,
    end: u64,
    /// Segments with a buffer, by the next sequence number of each.
    warm: BTreeMap<u64, Segment>,
    /// Segments without a buffer, by the next sequence number of each.
    cold: BTreeMap<u64, Segment>,
}

/// Records in the order of their sequence numbers.
#[derive(Debug)]
struct Segment {
    whole: Range<u64>,
    /// The position of the next record.
    at: u64,
    buffer: Vec<u8>,
    /// The position of the buffer's first byte.
    buffer_at: u64,
}

impl Spill {
    pub(super) fn new(store: Box<dyn Store>) -> Self {
        Self { store, end: 0, warm: BTreeMap::new(), cold: BTreeMap::new() }
    }

    /// The lowest sequence number in the file.
    pub(super) fn first(&self) -> Option<u64> {
        let firsts = [&self.warm, &self.cold].map(|half| half.keys().next().copied());
        firsts.into_iter().flatten().min()
    }

    /// Writes a segment of records, sorted by sequence number. An error leaves everything as before.
    pub(super) fn write(&mut self, records: &[(u64, Payload)]) -> io::Result<()> {
        let Some((first, _)) = records.first() else { return Ok(()) };
        let start = self.end;
        match self.write_all(records, start) {
            Ok(end) => {
                self.end = end;
                let segment =
                    Segment { whole: start..end, at: start, buffer: Vec::new(), buffer_at: 0 };
                self.cold.insert(*first, segment);
                Ok(())
            }
            Err(error) => {
                let length: u64 = records.iter().map(|(_, bytes)| record_bytes(bytes)).sum();
                self.store.free(start..start + length);
                Err(error)
            }
        }
    }

    fn write_all(&mut self, records: &[(u64, Payload)], start: u64) -> io::Result<u64> {
        let (mut at, mut gathered) = (start, Vec::with_capacity(WRITE_BYTES));
        let mut put = |bytes: &mut Vec<u8>| {
            self.store.write(bytes, at)?;
            at += bytes.len() as u64;
            bytes.clear();
            io::Result::Ok(())
        };
        for (id, bytes) in records {
            if gathered.len() + bytes.len() > WRITE_BYTES {
                put(&mut gathered)?;
            }
            gathered.extend_from_slice(&id.to_le_bytes());
            gathered.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            gathered.extend_from_slice(bytes.as_bytes());
        }
        put(&mut gathered)?;
        Ok(at)
    }

    /// Appends records from the sequence number `next` on, without a gap and until `out` has about
    /// `out_max` bytes, and advances `next`. After an error nothing is lost; a retry may succeed.
    pub(super) fn release(
        &mut self,
        next: &mut u64,
        out: &mut Vec<u8>,
        out_max: usize,
    ) -> io::Result<()> {
        while out.len() < out_max {
            let Some(mut segment) = self.warm.remove(next).or_else(|| self.cold.remove(next))
            else {
                break;
            };
            let (mark, began) = (out.len(), *next);
            let mut following = Ok(Some(began));
            while let Ok(Some(id)) = following
                && id == *next
                && out.len() < out_max
            {
                let kept = out.len();
                following = segment.take(self.store.as_mut(), out);
                match following {
                    Ok(_) => *next += 1,
                    Err(_) => out.truncate(kept),
                }
            }
            debug_assert!(out.len() >= mark, "records that were taken stay");
            match following {
                Ok(Some(id)) => self.put_back(id, segment),
                Ok(None) => self.free(segment.whole),
                Err(error) => {
                    self.put_back(*next, segment);
                    return Err(error);
                }
            }
        }
        Ok(())
    }

    /// Puts a segment back. The segments that are due first have the buffers.
    fn put_back(&mut self, id: u64, segment: Segment) {
        self.warm.insert(id, segment);
        if self.warm.len() > BUFFERS_MAX
            && let Some((id, mut last)) = self.warm.pop_last()
        {
            last.buffer = Vec::new();
            self.cold.insert(id, last);
        }
    }

    fn free(&mut self, range: Range<u64>) {
        self.store.free(range);
        if self.warm.is_empty() && self.cold.is_empty() {
            self.end = 0;
        }
    }

    #[cfg(test)]
    pub(super) fn segments(&self) -> usize {
        self.warm.len() + self.cold.len()
    }
}

fn record_bytes(bytes: &Payload) -> u64 {
    HEADER_BYTES + bytes.len() as u64
}

impl Segment {
    /// Appends the next record, and returns the sequence number of the one after it. Advances only
    /// after the whole record was read.
    fn take(&mut self, store: &mut dyn Store, out: &mut Vec<u8>) -> io::Result<Option<u64>> {
        let length = self.number(store, self.at + 8)?;
        let body = self.at + HEADER_BYTES;
        let bytes = usize::try_from(length).map_err(io::Error::other)?;
        if bytes <= BUFFER_BYTES {
            out.extend_from_slice(self.bytes(store, body, bytes)?);
        } else {
            let start = out.len();
            out.resize(start + bytes, 0);
            store.read(&mut out[start..], body)?;
        }
        let after = body + length;
        let following = (after < self.whole.end).then(|| self.number(store, after)).transpose()?;
        self.at = after;
        Ok(following)
    }

    fn number(&mut self, store: &mut dyn Store, at: u64) -> io::Result<u64> {
        let mut number = [0; 8];
        number.copy_from_slice(self.bytes(store, at, 8)?);
        Ok(u64::from_le_bytes(number))
    }

    /// Reads bytes of the file through the buffer.
    fn bytes(&mut self, store: &mut dyn Store, at: u64, length: usize) -> io::Result<&[u8]> {
        let offset = at.checked_sub(self.buffer_at).and_then(|offset| usize::try_from(offset).ok());
        if let Some(from) = offset
            && from + length <= self.buffer.len()
        {
            return Ok(&self.buffer[from..from + length]);
        }
        let rest = usize::try_from(self.whole.end - at).unwrap_or(usize::MAX);
        let mut buffer = mem::take(&mut self.buffer);
        buffer.resize(rest.min(BUFFER_BYTES), 0);
        store.read(&mut buffer, at)?;
        (self.buffer, self.buffer_at) = (buffer, at);
        Ok(&self.buffer[..length])
    }
}

impl Store for Temporary {
    fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
        let file = match &mut self.0 {
            Some(file) => file,
            none => none.insert(tempfile::tempfile()?),
        };
        file.write_all_at(bytes, at)
    }

    fn read(&mut self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        let file = self.0.as_ref().ok_or(io::ErrorKind::NotFound)?;
        file.read_exact_at(bytes, at)
    }

    fn free(&mut self, range: Range<u64>) {
        let Some(file) = &self.0 else { return };
        let mode = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if let (Ok(start), Ok(length)) =
            (range.start.try_into(), (range.end - range.start).try_into())
        {
            // On a file system that cannot do this, the space is freed at the end of the run.
            let _ = fallocate(file, mode, start, length);
        }
    }
}
