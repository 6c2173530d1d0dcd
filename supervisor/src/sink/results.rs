//! The way of outcomes to the writer: one chunk for all outcomes of one turn of the loop, in the
//! order of the jobs if the user wants that.

use std::collections::BTreeMap;

use super::{
    Archive, Sink, Stream,
    archive::{self, Archived, Sent},
    chunk::Pieces,
    order::{Ordered, SpillError},
    writer::Writer,
};
use pool::job::Outcome;

/// The most memory for outcomes that wait for their turn, in bytes; more go to a file.
const ORDER_BYTES_MAX: usize = 8 << 20;
const LENGTH_BYTES: usize = size_of::<u64>();
/// The approximate size of the chunks in which due outcomes go to the writer.
const CHUNK_BYTES: usize = 128 << 10;

/// Outcomes on their way to the writer.
#[derive(Debug)]
pub(super) struct Results {
    chunk: Vec<u8>,
    /// The bytes for stderr; `None` if the format has none.
    errors: Option<Vec<u8>>,
    order: Order,
    /// The output of commands that is too long for memory and waits for its turn, by place.
    long: BTreeMap<u64, [Box<dyn Pieces>; 2]>,
    /// Which outcomes were written; `None` without an archive.
    sent: Option<Sent>,
    /// Why outcomes cannot be written any more, until the caller takes it.
    failure: Option<ResultsError>,
    is_broken: bool,
}

/// The order of outcomes.
#[derive(Debug)]
enum Order {
    /// As they arrive.
    None,
    /// The order of the jobs; outcomes that are not due wait here.
    Ordered(Ordered),
    /// Outcomes that are not due, or that a previous run wrote, wait in an archive.
    Archived(Archived),
}

/// Why outcomes cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum ResultsError {
    /// The temporary file for outcomes that wait for their turn.
    #[error(transparent)]
    Spill(#[from] SpillError),
    /// The archive cannot be read.
    #[error("{0}")]
    Archive(String),
}

impl ResultsError {
    /// Whether outcomes are lost, so that the run must stop.
    #[must_use]
    pub fn is_loss(&self) -> bool {
        match self {
            Self::Spill(error) => error.is_loss(),
            Self::Archive(_) => true,
        }
    }

    /// The error number.
    #[must_use]
    pub fn errno(&self) -> i32 {
        match self {
            Self::Spill(error) => error.errno(),
            Self::Archive(_) => libc::EIO,
        }
    }
}

impl Results {
    /// With an archive, the results also track which outcomes were written.
    pub(super) fn new(
        keep_order: bool,
        has_stderr: bool,
        archive: Option<Box<dyn Archive>>,
    ) -> Self {
        let sent = archive.as_ref().map(|_| Sent::default());
        let order = match archive {
            Some(archive) => Order::Archived(Archived::new(archive, keep_order)),
            None if keep_order => Order::Ordered(Ordered::new(ORDER_BYTES_MAX)),
            None => Order::None,
        };
        let errors = has_stderr.then(Vec::new);
        let (chunk, long, failure, is_broken) = (Vec::new(), BTreeMap::new(), None, false);
        Self { chunk, errors, order, long, sent, failure, is_broken }
    }

    /// Takes outcomes, and writes those that are due.
    pub(super) fn put(&mut self, outcomes: &[Outcome], sink: &dyn Sink, writer: &Writer) {
        let (chunk, mut ids) = (&mut self.chunk, Vec::new());
        for outcome in outcomes {
            match &mut self.order {
                Order::Ordered(order) => {
                    match (&mut self.errors, sink.long_outcome(outcome)) {
                        (_, Some(long)) => {
                            self.long.insert(outcome.place, long);
                            put_long(outcome.place, chunk);
                        }
                        (Some(errors), None) => put_both(outcome, sink, errors, chunk),
                        (None, None) => sink.outcome(outcome, chunk),
                    }
                    order.push(outcome.place, chunk);
                    chunk.clear();
                    continue;
                }
                Order::Archived(waiting) => {
                    if !waiting.takes_turn(outcome) {
                        waiting.push(outcome);
                        continue;
                    }
                }
                Order::None => {}
            }
            archive::put(outcome, sink, (chunk, self.errors.as_mut()), writer);
            if self.sent.is_some() && outcome.end.is_final() {
                ids.push(outcome.id);
            }
        }
        self.deliver(ids, writer);
    }

    /// Takes an outcome that a previous run may have written, for this turn.
    pub(super) fn put_again(&mut self, place: u64, id: u64) {
        if let Order::Archived(waiting) = &mut self.order {
            waiting.push_again(place, id);
        }
    }

    fn deliver(&mut self, ids: Vec<u64>, writer: &Writer) {
        writer.deliver(Stream::Stdout, &mut self.chunk);
        if let Some(sent) = &mut self.sent {
            sent.given(ids, writer);
        }
    }

    /// Passes outcomes that are due to the writer, while it has room. Returns whether some are left.
    pub(super) fn release(&mut self, sink: &dyn Sink, writer: &Writer) -> bool {
        while !self.is_broken && self.has_due() {
            if !writer.has_room() {
                return true;
            }
            if let Err(error) = self.release_some(sink, writer) {
                self.failure = Some(error);
                self.is_broken = true;
            }
        }
        false
    }

    fn release_some(&mut self, sink: &dyn Sink, writer: &Writer) -> Result<(), ResultsError> {
        match &mut self.order {
            Order::None => Ok(()),
            Order::Ordered(order) => {
                let released = order.release(&mut self.chunk, CHUNK_BYTES);
                match &mut self.errors {
                    Some(errors) => {
                        deliver_both(&mut self.chunk, errors, &mut self.long, writer);
                    }
                    None => writer.deliver(Stream::Stdout, &mut self.chunk),
                }
                Ok(released?)
            }
            Order::Archived(waiting) => {
                let (chunk, mut ids) = (&mut self.chunk, Vec::new());
                let mut released = Ok(());
                while chunk.len() < CHUNK_BYTES && writer.has_room() {
                    match waiting.take_due() {
                        Ok(None) => break,
                        Ok(Some(outcome)) => {
                            archive::put(&outcome, sink, (chunk, self.errors.as_mut()), writer);
                            ids.extend(outcome.end.is_final().then_some(outcome.id));
                        }
                        Err(error) => {
                            released = Err(ResultsError::Archive(error));
                            break;
                        }
                    }
                }
                self.deliver(ids, writer);
                released
            }
        }
    }

    fn has_due(&self) -> bool {
        match &self.order {
            Order::None => false,
            Order::Ordered(order) => order.has_due(),
            Order::Archived(waiting) => waiting.has_due(),
        }
    }

    /// Whether the run should start no more jobs: outcomes are due, or those that wait fill the
    /// memory.
    pub(super) fn is_full(&self) -> bool {
        let is_full = matches!(&self.order, Order::Ordered(order) if order.is_full());
        !self.is_broken && (self.has_due() || is_full)
    }

    /// Closes the archive; nothing waits any more.
    pub(super) fn close(&mut self) {
        self.order = Order::None;
    }

    /// Which outcomes were written, since the last call.
    pub(super) fn sent(&mut self) -> Option<&mut Sent> {
        self.sent.as_mut()
    }

    /// Why outcomes cannot be written, once each time it happens.
    pub(super) fn take_failure(&mut self) -> Option<ResultsError> {
        let spilled = match &mut self.order {
            Order::Ordered(order) => order.take_failure().map(ResultsError::from),
            Order::None | Order::Archived(_) => None,
        };
        self.failure.take().or(spilled)
    }
}

/// Formats an outcome for both streams as one entry: the two lengths, and then the bytes.
fn put_both(outcome: &Outcome, sink: &dyn Sink, errors: &mut Vec<u8>, out: &mut Vec<u8>) {
    out.extend_from_slice(&[0; 2 * LENGTH_BYTES]);
    sink.outcome(outcome, out);
    sink.outcome_stderr(outcome, errors);
    let lengths = [out.len() - 2 * LENGTH_BYTES, errors.len()];
    for (place, length) in out.chunks_exact_mut(LENGTH_BYTES).zip(lengths) {
        place.copy_from_slice(&(length as u64).to_le_bytes());
    }
    out.append(errors);
}

/// Stands for the length of stdout in the entry of an outcome that is too long for memory. The place
/// of the outcome follows.
const LONG: u64 = u64::MAX;

/// Formats the entry of an outcome that is too long for memory.
fn put_long(place: u64, out: &mut Vec<u8>) {
    [LONG, place].iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// Takes entries apart and passes each stream its bytes, in the order of the jobs.
fn deliver_both(
    waited: &mut Vec<u8>,
    errors: &mut Vec<u8>,
    long: &mut BTreeMap<u64, [Box<dyn Pieces>; 2]>,
    writer: &Writer,
) {
    let (mut out, mut rest) = (Vec::new(), &waited[..]);
    while let Some((head, after)) = rest.split_first_chunk::<LENGTH_BYTES>()
        && let Some((second, after)) = after.split_first_chunk::<LENGTH_BYTES>()
    {
        let [head, second] = [head, second].map(|bytes| u64::from_le_bytes(*bytes));
        if head == LONG {
            writer.deliver(Stream::Stdout, &mut out);
            long.remove(&second).into_iter().for_each(|long| archive::deliver_long(long, writer));
            rest = after;
            continue;
        }
        let lengths = [head, second].map(|length| usize::try_from(length).unwrap_or(usize::MAX));
        let [stdout, stderr] = lengths;
        let Some((stdout, after)) = after.split_at_checked(stdout) else { break };
        let Some((stderr, after)) = after.split_at_checked(stderr) else { break };
        out.extend_from_slice(stdout);
        if !stderr.is_empty() {
            writer.deliver(Stream::Stdout, &mut out);
            errors.extend_from_slice(stderr);
            writer.deliver(Stream::Stderr, errors);
        }
        rest = after;
    }
    debug_assert!(rest.is_empty(), "entries are whole");
    writer.deliver(Stream::Stdout, &mut out);
    waited.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::raw::Raw;
    use pool::job::{JobEnd, Payload};

    fn outcome(id: u64) -> Outcome {
        let (payload, last, earlier) = (Payload::copy(b""), None, Vec::new());
        let end = JobEnd::Ok(Payload::copy(&reply(id)));
        Outcome { id, place: id, position: id, payload, end, last, earlier, again: false }
    }

    fn reply(id: u64) -> Vec<u8> {
        let mut reply = format!("{id} ").into_bytes();
        reply.resize(1000, b'x');
        reply
    }

    #[test]
    fn outcomes_behind_a_slow_job_are_released_as_the_writer_has_room() {
        let (mut results, writer, sink) =
            (Results::new(true, false, None), Writer::idle(), Raw::new(true));
        let others: Vec<_> = (2..=20_000).rev().map(outcome).collect();
        results.put(&others, &sink, &writer);
        assert!(!results.release(&sink, &writer) && !results.is_full() && writer.has_room());
        results.put(&[outcome(1)], &sink, &writer);
        let mut out = Vec::new();
        while results.release(&sink, &writer) {
            assert!(results.is_full() && !writer.has_room());
            let written = writer.write_queued();
            assert!(written.len() < 500_000);
            out.extend(written);
        }
        out.extend(writer.write_queued());
        assert!(out == (1..=20_000).flat_map(reply).collect::<Vec<_>>() && !results.is_full());
        assert!(results.take_failure().is_none());
    }

    #[test]
    fn the_outcomes_of_one_turn_are_one_chunk() {
        let (mut results, writer, sink) =
            (Results::new(false, false, None), Writer::idle(), Raw::new(true));
        results.put(&[outcome(2), outcome(1)], &sink, &writer);
        assert_eq!(writer.write_queued(), [reply(2), reply(1)].concat());
    }
}
