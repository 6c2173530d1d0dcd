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
/// What is due goes to the writer in chunks of about this size.
const CHUNK_BYTES: usize = 128 << 10;

/// Outcomes on their way to the writer.
#[derive(Debug)]
pub(super) struct Results {
    chunk: Vec<u8>,
    /// Where they come out in the order of their jobs.
    order: Option<Ordered>,
    /// What of them can be had no more, and why.
    failure: Option<SpillError>,
    is_broken: bool,
}

impl Results {
    pub(super) fn new(keep_order: bool) -> Self {
        let order = keep_order.then(|| Ordered::new(ORDER_BYTES_MAX));
        Self { chunk: Vec::new(), order, failure: None, is_broken: false }
    }

    pub(super) fn put(&mut self, outcomes: &[Outcome], sink: &dyn Sink, writer: &Writer) {
        let chunk = &mut self.chunk;
        let Some(order) = &mut self.order else {
            outcomes.iter().for_each(|outcome| sink.outcome(outcome, chunk));
            return writer.deliver(Stream::Stdout, chunk);
        };
        for outcome in outcomes {
            sink.outcome(outcome, chunk);
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
            writer.deliver(Stream::Stdout, &mut self.chunk);
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
        let (mut results, writer, sink) = (Results::new(true), Writer::idle(), Raw::new(true));
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
        let (mut results, writer, sink) = (Results::new(false), Writer::idle(), Raw::new(true));
        results.put(&[outcome(2), outcome(1)], &sink, &writer);
        assert_eq!(writer.write_queued(), [reply(2), reply(1)].concat());
    }
}
