//! The two ways in which a worker is sent jobs and answers them: the frames of the worker protocol,
//! and plain lines. This module is the only place that tells them apart.

use pool::{Abilities, exit::ProtocolFault};
use protocol::wire::Codec;

use super::{
    decode::{Decoder, Received},
    lines::LineDecoder,
};

/// How jobs are written to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Encoding {
    /// As frames in this codec, together with other messages.
    Frames(Codec),
    /// As lines. Nothing but jobs can be written.
    Lines,
}

/// What decodes the replies of a worker.
#[derive(Debug)]
pub(super) enum Replies {
    Frames(Decoder),
    Lines(LineDecoder),
}

impl Replies {
    /// How to write to the worker; `None` before its hello.
    pub(super) fn encoding(&self) -> Option<Encoding> {
        match self {
            Self::Frames(decoder) => decoder.codec().map(Encoding::Frames),
            Self::Lines(_) => Some(Encoding::Lines),
        }
    }

    /// What a worker can do that sends no hello and is ready when it is executed.
    pub(super) fn abilities_without_hello(&self) -> Option<Abilities> {
        match self {
            Self::Frames(_) => None,
            Self::Lines(_) => Some(Abilities { queues: true, ..Abilities::default() }),
        }
    }

    /// Whether the worker keeps a recorder.
    pub(super) fn has_recorder(&self) -> bool {
        match self {
            Self::Frames(decoder) => decoder.has_recorder(),
            Self::Lines(_) => false,
        }
    }

    /// Notes a job that was sent.
    pub(super) fn expect(&mut self, id: u64, attempt: u32) {
        match self {
            // A frame names the job that it answers.
            Self::Frames(_) => {}
            Self::Lines(decoder) => decoder.expect(id, attempt),
        }
    }

    /// Decodes bytes that the pipe delivered.
    ///
    /// # Errors
    /// The bytes violate the protocol. `received` holds the messages before the fault.
    pub(super) fn decode_from_pipe(
        &mut self,
        bytes: &[u8],
        received: &mut Received,
    ) -> Result<(), ProtocolFault> {
        match self {
            Self::Frames(decoder) => decoder.decode_from_pipe(bytes, received),
            Self::Lines(decoder) => decoder.decode(bytes, received),
        }
    }

    /// Whether a large message has begun that the pipe has not delivered completely.
    pub(super) fn awaits_large_frame(&self) -> bool {
        match self {
            Self::Frames(decoder) => decoder.large_frame_missing().is_some(),
            Self::Lines(_) => false,
        }
    }

    /// The end of a line that the worker never completed.
    pub(super) fn unfinished_line(&self) -> &[u8] {
        match self {
            Self::Frames(_) => &[],
            Self::Lines(decoder) => decoder.unfinished(),
        }
    }
}
