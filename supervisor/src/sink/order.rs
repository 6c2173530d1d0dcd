//! Puts outcomes into the order of their jobs. Outcomes that are not due wait in memory, and beyond
//! a limit in a temporary file.

use std::{collections::BTreeMap, env, io};

use super::spill::{Spill, Store, Temporary};
use pool::job::Payload;
use text::escape::visible;

/// The memory that an entry takes beside its bytes, in bytes.
const ENTRY_BYTES: usize = 64;
/// The most bytes of outcomes that are due on arrival and kept together; more wait like others.
const DUE_BYTES_MAX: usize = 64 << 10;
/// The share of memory that is written to the file when it is full: one eighth, so that no write
/// takes long.
const SPILL_SHARE: usize = 8;

/// Puts outcomes into the order of their sequence numbers, which are dense from 1.
#[derive(Debug)]
pub struct Ordered {
    memory_max: usize,
    /// The sequence number whose turn it is.
    next: u64,
    /// The bytes that are due, in order: everything before `next` that was not released.
    due: Vec<u8>,
    waiting: BTreeMap<u64, Payload>,
    waiting_bytes: usize,
    spill: Spill,
    /// Whether memory is full and the file takes no more.
    is_full: bool,
    failure: Option<SpillError>,
}

/// Why the temporary file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "{user} needs a temporary file in {directory} and could not {what} it: {error}: \
     make room there, or set TMPDIR to a directory that has some"
)]
pub struct SpillError {
    user: &'static str,
    what: &'static str,
    directory: String,
    is_loss: bool,
    error: io::Error,
}

impl SpillError {
    fn new(what: &'static str, is_loss: bool, error: io::Error) -> Self {
        let directory = visible(env::temp_dir().as_os_str().as_encoded_bytes());
        Self { user: "--keep-order", what, directory, is_loss, error }
    }

    /// Long output of commands cannot be kept.
    pub(super) fn of_commands(error: io::Error) -> Self {
        Self { user: "long output of commands", ..Self::new("write", true, error) }
    }

    /// Whether outcomes are lost, so that the run must stop. Otherwise they wait in memory, and the
    /// run starts no more jobs until some were written.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        self.is_loss
    }

    /// The error number.
    #[must_use]
    pub fn errno(&self) -> i32 {
        self.error.raw_os_error().unwrap_or(libc::EIO)
    }
}

impl Ordered {
    /// Creates an empty order that keeps about `memory_max` bytes in memory.
    #[must_use]
    pub fn new(memory_max: usize) -> Self {
        Self::with_store(memory_max, Box::new(Temporary::default()))
    }

    fn with_store(memory_max: usize, store: Box<dyn Store>) -> Self {
        let (due, waiting, spill) = (Vec::new(), BTreeMap::new(), Spill::new(store));
        let (waiting_bytes, is_full, failure) = (0, false, None);
        Self { memory_max, next: 1, due, waiting, waiting_bytes, spill, is_full, failure }
    }

    /// Takes the bytes of an outcome. Never refuses any.
    pub fn push(&mut self, id: u64, bytes: &[u8]) {
        if id == self.next && self.due.len() + bytes.len() <= DUE_BYTES_MAX {
            self.due.extend_from_slice(bytes);
            self.next += 1;
            return;
        }
        let before = self.waiting.insert(id, Payload::copy(bytes));
        debug_assert!(before.is_none() && id >= self.next, "job {id} has two outcomes");
        self.waiting_bytes += bytes.len() + ENTRY_BYTES;
        if self.waiting_bytes > self.memory_max && !self.is_full {
            self.relieve();
        }
    }

    /// Appends what is due, up to about `bytes_max` bytes.
    ///
    /// # Errors
    /// The temporary file cannot be read; a later call may succeed.
    pub fn release(&mut self, out: &mut Vec<u8>, bytes_max: usize) -> Result<(), SpillError> {
        let out_max = out.len().saturating_add(bytes_max);
        out.append(&mut self.due);
        while out.len() < out_max {
            if let Some(bytes) = self.waiting.remove(&self.next) {
                self.waiting_bytes -= bytes.len() + ENTRY_BYTES;
                out.extend_from_slice(bytes.as_bytes());
                self.next += 1;
            } else if self.spill.first() == Some(self.next) {
                let released = self.spill.release(&mut self.next, out, out_max);
                released.map_err(|error| SpillError::new("read", true, error))?;
            } else {
                break;
            }
        }
        // Not at the first free byte, or every outcome would try to write the file again.
        if self.waiting_bytes <= self.memory_max / 2 {
            self.is_full = false;
        }
        Ok(())
    }

    /// Whether an outcome is due.
    #[must_use]
    pub fn has_due(&self) -> bool {
        let is_next = |first: Option<u64>| first == Some(self.next);
        !self.due.is_empty()
            || is_next(self.waiting.keys().next().copied())
            || is_next(self.spill.first())
    }

    /// Whether the run should start no more jobs: memory is full and the file takes no more.
    /// Outcomes that arrive all the same are kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Why the order became full; returned once each time.
    pub fn take_failure(&mut self) -> Option<SpillError> {
        self.failure.take()
    }

    /// Writes the outcomes to the file that are due last.
    fn relieve(&mut self) {
        let kept = self.memory_max - self.memory_max / SPILL_SHARE;
        let mut records = Vec::new();
        while self.waiting_bytes > kept
            && let Some((id, bytes)) = self.waiting.pop_last()
        {
            self.waiting_bytes -= bytes.len() + ENTRY_BYTES;
            records.push((id, bytes));
        }
        records.reverse();
        if let Err(error) = self.spill.write(&records) {
            let bytes = |(_, bytes): &(u64, Payload)| bytes.len() + ENTRY_BYTES;
            self.waiting_bytes += records.iter().map(bytes).sum::<usize>();
            self.waiting.extend(records);
            self.is_full = true;
            self.failure = Some(SpillError::new("write", false, error));
        }
    }
}

#[cfg(test)]
#[expect(clippy::cast_possible_truncation, reason = "small numbers")]
mod tests {
    use std::{cell::RefCell, ops::Range, rc::Rc};

    use proptest::prelude::*;

    use super::*;

    /// A device with a size, which may be enlarged, and which may fail to read.
    #[derive(Debug, Default)]
    struct Device {
        bytes: Vec<u8>,
        size: usize,
        freed: u64,
        fails_reading: bool,
    }

    #[derive(Clone, Debug, Default)]
    struct Shared(Rc<RefCell<Device>>);

    impl Store for Shared {
        fn write(&mut self, bytes: &[u8], at: u64) -> io::Result<()> {
            let mut device = self.0.borrow_mut();
            let (at, end) = (at as usize, at as usize + bytes.len());
            let fits = end.min(device.size).saturating_sub(at);
            if device.bytes.len() < at + fits {
                device.bytes.resize(at + fits, 0);
            }
            device.bytes[at..at + fits].copy_from_slice(&bytes[..fits]);
            if fits < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn read(&mut self, bytes: &mut [u8], at: u64) -> io::Result<()> {
            let device = self.0.borrow();
            if device.fails_reading {
                return Err(io::Error::other("broken"));
            }
            bytes.copy_from_slice(&device.bytes[at as usize..][..bytes.len()]);
            Ok(())
        }

        fn free(&mut self, range: Range<u64>) {
            let mut device = self.0.borrow_mut();
            device.freed += range.end - range.start;
            let length = device.bytes.len() as u64;
            device.bytes[range.start.min(length) as usize..range.end.min(length) as usize].fill(0);
        }
    }

    fn bytes_of(id: u64, length: usize) -> Vec<u8> {
        let mut bytes = format!("{id}:").into_bytes();
        bytes.resize(bytes.len() + length, b'x');
        bytes.push(b'\n');
        bytes
    }

    fn release_all(ordered: &mut Ordered) -> Vec<u8> {
        let mut out = Vec::new();
        while ordered.has_due() {
            let before = out.len();
            ordered.release(&mut out, 100).unwrap();
            assert!(out.len() > before);
        }
        out
    }

    #[test]
    fn a_slow_job_costs_no_memory_and_a_full_device_no_outcome() {
        let device = Shared::default();
        device.0.borrow_mut().size = 60_000;
        let mut ordered = Ordered::with_store(8_000, Box::new(device.clone()));
        let mut id = 1;
        while !ordered.is_full() {
            id += 1;
            ordered.push(id, &bytes_of(id, 50));
            assert!(ordered.waiting_bytes <= 8_000 + 200 && ordered.spill.segments() < 100);
        }
        assert!(id > 600, "{id}");
        let message = ordered.take_failure().unwrap().to_string();
        assert!(
            message.contains("could not write it: ") && message.contains("TMPDIR"),
            "{message}"
        );
        // Jobs in flight still end.
        for more in id + 1..id + 100 {
            ordered.push(more, &bytes_of(more, 50));
        }
        assert!(ordered.take_failure().is_none() && ordered.is_full() && !ordered.has_due());
        ordered.push(1, &bytes_of(1, 50));
        let expected: Vec<u8> = (1..id + 100).flat_map(|id| bytes_of(id, 50)).collect();
        assert_eq!(release_all(&mut ordered), expected);
        assert!(!ordered.is_full() && ordered.spill.segments() == 0);
    }

    #[test]
    fn an_outcome_that_cannot_be_read_is_not_lost() {
        let device = Shared::default();
        device.0.borrow_mut().size = usize::MAX;
        let mut ordered = Ordered::with_store(0, Box::new(device.clone()));
        (2..=9).for_each(|id| ordered.push(id, &bytes_of(id, 0)));
        ordered.push(1, b"1:\n");
        device.0.borrow_mut().fails_reading = true;
        let mut out = Vec::new();
        assert!(ordered.release(&mut out, 1000).is_err());
        device.0.borrow_mut().fails_reading = false;
        out.extend(release_all(&mut ordered));
        assert_eq!(out, b"1:\n2:\n3:\n4:\n5:\n6:\n7:\n8:\n9:\n");
        let written = device.0.borrow().bytes.len() as u64;
        assert_eq!(device.0.borrow().freed, written);
    }

    #[test]
    fn a_temporary_file_returns_what_was_written() {
        let mut ordered = Ordered::new(10_000);
        let lengths = [0, 31, 5_000, 200_000, 600_000];
        let length = |id: u64| lengths[id as usize % lengths.len()];
        (2..=60).rev().for_each(|id| ordered.push(id, &bytes_of(id, length(id))));
        assert!(ordered.spill.segments() > 10);
        ordered.push(1, &bytes_of(1, length(1)));
        let expected: Vec<u8> = (1..=60).flat_map(|id| bytes_of(id, length(id))).collect();
        assert!(release_all(&mut ordered) == expected && ordered.take_failure().is_none());
    }

    proptest! {
        #[test]
        fn outcomes_come_out_as_a_plain_sort_would_order_them(
            order in Just((1..=200).collect::<Vec<u64>>()).prop_shuffle(),
            lengths in prop::collection::vec(0usize..80, 200),
            releases in prop::collection::vec((0usize..200, 1usize..600), 0..20),
            (memory_max, size) in (0usize..3000, 0usize..20_000),
        ) {
            let device = Shared::default();
            device.0.borrow_mut().size = size;
            let mut ordered = Ordered::with_store(memory_max, Box::new(device));
            let mut out = Vec::new();
            for (at, id) in order.iter().enumerate() {
                ordered.push(*id, &bytes_of(*id, lengths[*id as usize - 1]));
                for (_, bytes_max) in releases.iter().filter(|(when, _)| *when == at) {
                    ordered.release(&mut out, *bytes_max).unwrap();
                }
            }
            out.extend(release_all(&mut ordered));
            let expected: Vec<u8> =
                (1..=200).flat_map(|id| bytes_of(id, lengths[id as usize - 1])).collect();
            prop_assert_eq!(out, expected);
            prop_assert!(!ordered.is_full() && ordered.waiting_bytes == 0);
        }
    }
}
