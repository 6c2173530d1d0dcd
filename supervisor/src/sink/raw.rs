//! Output of workers and replies unchanged. Each stream of a worker goes to the same stream of the
//! supervisor; with jobs, only replies go to stdout.

use super::{LineBuffer, Origin, Sink, Stream, text};
use pool::{
    event::{Ended, Event},
    job::{JobEnd, Outcome},
};

/// Writes bytes without prefixes, line splitting or escaping.
#[derive(Debug)]
pub(super) struct Raw {
    has_jobs: bool,
}

impl Raw {
    pub(super) fn new(has_jobs: bool) -> Self {
        Self { has_jobs }
    }
}

impl Sink for Raw {
    fn output(&self, _: Origin, piece: &[u8], _: &mut LineBuffer, out: &mut Vec<u8>) {
        out.extend_from_slice(piece);
    }

    fn output_ended(&self, _: Origin, _: &mut LineBuffer, _: &mut Vec<u8>) {}

    fn target(&self, stream: Stream) -> Stream {
        if self.has_jobs { Stream::Stderr } else { stream }
    }

    fn outcome(&self, outcome: &Outcome, out: &mut Vec<u8>) {
        if let JobEnd::Ok(reply) = &outcome.end {
            out.extend_from_slice(reply.as_bytes());
        }
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        if !self.has_jobs {
            text::task_line(ended, out);
        }
    }
}
