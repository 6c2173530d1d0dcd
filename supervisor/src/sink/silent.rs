//! Writes nothing to stdout: neither replies nor the output of programs that take no jobs.

use super::{LineBuffer, Origin, Sink, Stream, text::Text};
use pool::{
    event::{Ended, Event},
    job::Outcome,
};

/// Drops replies. With jobs, other output of workers still goes to stderr.
#[derive(Debug)]
pub(super) struct Silent(Option<Text>);

impl Silent {
    pub(super) fn new(has_jobs: bool) -> Self {
        Self(has_jobs.then(|| Text::new(false, false, true)))
    }
}

impl Sink for Silent {
    fn output(&self, origin: Origin, piece: &[u8], buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        if let Some(text) = &self.0 {
            text.output(origin, piece, buffer, out);
        }
    }

    fn output_ended(&self, origin: Origin, buffer: &mut LineBuffer, out: &mut Vec<u8>) {
        if let Some(text) = &self.0 {
            text.output_ended(origin, buffer, out);
        }
    }

    fn target(&self, _: Stream) -> Stream {
        Stream::Stderr
    }

    fn outcome(&self, _: &Outcome, _: &mut Vec<u8>) {}

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, _: &Ended, _: &mut Vec<u8>) {}
}
