//! How do outcomes reach the writer? As one chunk for all that came in one turn of the loop; in
//! order where that was asked for.

use super::{
    Sink, Stream,
    order::{Ordered, SpillError},
    writer::Writer,
};
use crate::job::Outcome;

/// What waits for its turn takes so much memory at most; the rest goes to a file.
const ORDER_BYTES_MAX: usize = 8 << 20;
const LENGTH_BYTES: usize = size_of::<u64>();
/// What is due goes to the writer in chunks of about this size.
const CHUNK_BYTES: usize = 128 << 10;

/// Outcomes on their way to the writer.
#[derive(Debug)]
pub(super) struct Results {
    chunk: Vec<u8>,
    /// What goes to stderr, where something may.
    errors: Option<Vec<u8>>,
    /// Where they come out in the order of their jobs.
    order: Option<Ordered>,
    /// What of them can be had no more, and why.
    failure: Option<SpillError>,
    is_broken: bool,
}

impl Results {
    pub(super) fn new(keep_order: bool, has_stderr: bool) -> Self {
        let order = keep_order.then(|| Ordered::new(ORDER_BYTES_MAX));
        let errors = has_stderr.then(Vec::new);
        Self { chunk: Vec::new(), errors, order, failure: None, is_broken: false }
    }

    pub(super) fn put(&mut self, outcomes: &[Outcome], sink: &dyn Sink, writer: &Writer) {
        let chunk = &mut self.chunk;
        let Some(order) = &mut self.order else {
            for outcome in outcomes {
                sink.outcome(outcome, chunk);
                let Some(errors) = &mut self.errors else { continue };
                sink.outcome_stderr(outcome, errors);
                if !errors.is_empty() {
                    writer.deliver(Stream::Stdout, chunk);
                    writer.deliver(Stream::Stderr, errors);
                }
            }
            return writer.deliver(Stream::Stdout, chunk);
        };
        for outcome in outcomes {
            match &mut self.errors {
                Some(errors) => put_both(outcome, sink, errors, chunk),
                None => sink.outcome(outcome, chunk),
            }
            order.push(outcome.id, chunk);
            chunk.clear();
        }
    }

    /// Gives the writer what is due, while it has room. Whether some is left.
    pub(super) fn release(&mut self, writer: &Writer) -> bool {
        let Some(order) = self.order.as_mut().filter(|_| !self.is_broken) else { return false };
        while order.has_due() {
            if !writer.has_room() {
                return true;
            }
            let released = order.release(&mut self.chunk, CHUNK_BYTES);
            match &mut self.errors {
                Some(errors) => deliver_both(&mut self.chunk, errors, writer),
                None => writer.deliver(Stream::Stdout, &mut self.chunk),
            }
            if let Err(error) = released {
                self.failure = Some(error);
                self.is_broken = true;
                return false;
            }
        }
        false
    }

    /// Whether no more should come: some is due already, or what waits fills the memory.
    pub(super) fn is_full(&self) -> bool {
        let order = self.order.as_ref().filter(|_| !self.is_broken);
        order.is_some_and(|order| order.has_due() || order.is_full())
    }

    pub(super) fn take_failure(&mut self) -> Option<SpillError> {
        self.failure.take().or_else(|| self.order.as_mut().and_then(Ordered::take_failure))
    }
}

/// What is for both streams, to wait as one: the two lengths, and then the bytes.
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

/// Takes apart what waited, and gives each stream its own, in the order of the jobs.
fn deliver_both(waited: &mut Vec<u8>, errors: &mut Vec<u8>, writer: &Writer) {
    let (mut out, mut rest) = (Vec::new(), &waited[..]);
    let length = |bytes: &[u8; LENGTH_BYTES]| usize::try_from(u64::from_le_bytes(*bytes)).ok();
    while let Some((head, after)) = rest.split_first_chunk::<LENGTH_BYTES>()
        && let Some((second, after)) = after.split_first_chunk::<LENGTH_BYTES>()
        && let (Some(stdout), Some(stderr)) = (length(head), length(second))
        && let Some((stdout, after)) = after.split_at_checked(stdout)
        && let Some((stderr, after)) = after.split_at_checked(stderr)
    {
        out.extend_from_slice(stdout);
        if !stderr.is_empty() {
            writer.deliver(Stream::Stdout, &mut out);
            errors.extend_from_slice(stderr);
            writer.deliver(Stream::Stderr, errors);
        }
        rest = after;
    }
    debug_assert!(rest.is_empty(), "what waits comes out whole");
    writer.deliver(Stream::Stdout, &mut out);
    waited.clear();
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        job::{JobEnd, Payload},
        sink::raw::Raw,
    };

    fn outcome(id: u64) -> Outcome {
        let (payload, last, earlier) = (Payload::copy(b""), None, Vec::new());
        let end = JobEnd::Ok(Payload::copy(&reply(id)));
        Outcome { id, position: id, payload, end, last, earlier }
    }

    fn reply(id: u64) -> Vec<u8> {
        let mut reply = format!("{id} ").into_bytes();
        reply.resize(1000, b'x');
        reply
    }

    #[test]
    fn behind_a_slow_job_all_waits_and_then_comes_out_as_the_writer_has_room() {
        let (mut results, writer, sink) =
            (Results::new(true, false), Writer::idle(), Raw::new(true));
        let others: Vec<_> = (2..=20_000).rev().map(outcome).collect();
        results.put(&others, &sink, &writer);
        assert!(!results.release(&writer) && !results.is_full() && writer.has_room());
        results.put(&[outcome(1)], &sink, &writer);
        let mut out = Vec::new();
        while results.release(&writer) {
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
    fn a_turn_of_the_loop_is_one_chunk() {
        let (mut results, writer, sink) =
            (Results::new(false, false), Writer::idle(), Raw::new(true));
        results.put(&[outcome(2), outcome(1)], &sink, &writer);
        assert_eq!(writer.write_queued(), [reply(2), reply(1)].concat());
    }
}
