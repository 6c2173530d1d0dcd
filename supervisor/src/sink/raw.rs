//! The workers' bytes as they are, each stream to its like.

use super::{Held, Origin, Sink, Stream, text};
use crate::event::{Ended, Event};

/// No prefix, no lines, no escaping.
#[derive(Debug)]
pub(super) struct Raw;

impl Sink for Raw {
    fn output(&self, _: Origin, piece: &[u8], _: &mut Held, out: &mut Vec<u8>) {
        out.extend_from_slice(piece);
    }

    fn output_ended(&self, _: Origin, _: &mut Held, _: &mut Vec<u8>) {}

    fn target(&self, stream: Stream) -> Stream {
        stream
    }

    fn event(&self, _: &Event, _: &mut Vec<u8>) {}

    fn task(&self, ended: &Ended, out: &mut Vec<u8>) {
        text::task_line(ended, out);
    }
}
