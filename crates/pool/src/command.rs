//! A command that ran for a job, how it ended and what it wrote.

use std::ops::Range;

use crate::{
    exit::{Cause, Evidence, StopRequest},
    payload::Payload,
};

/// A command that a launcher ran, or failed to start.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Its process; 0 if there was none.
    pub pid: i32,
    /// Why it ended: the launcher's view, until the pool replaces it by its own judgement.
    pub cause: Cause,
    /// How it ended; `None` if it never ran.
    pub evidence: Option<Evidence>,
    /// How the launcher tried to stop it, if it did.
    pub asked: Option<StopRequest>,
    /// What it wrote to stdout and stderr.
    pub output: Captured,
    /// Whether an orphan of the command kept its output open.
    pub leaked: bool,
}

impl Ran {
    /// Whether it succeeded: it ended by itself, with code 0.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.cause == Cause::Exit
            && self.evidence.as_ref().is_some_and(|evidence| evidence.status.is_success())
    }
}

/// The output of a command, as its launcher's reply holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    reply: Payload,
    streams: [Range<usize>; 2],
    /// The bytes of each stream that were left out.
    gaps: [Gap; 2],
}

/// Bytes of a stream that were left out.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// The number of bytes before the gap.
    pub at: u64,
    /// The number of bytes that are missing.
    pub bytes: u64,
}

impl Captured {
    /// The output that lies in these ranges of a reply. A range is cut off at the end of the reply.
    #[must_use]
    pub fn new(reply: Payload, streams: [Range<usize>; 2], gaps: [Gap; 2]) -> Self {
        let end = reply.len();
        let streams = streams.map(|range| range.start.min(end)..range.end.min(end));
        Self { reply, streams, gaps }
    }

    /// The output of a command that wrote nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Payload::copy(&[]), [0..0, 0..0], [Gap::default(); 2])
    }

    /// What the command wrote to stdout, or the head and the tail of it.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        self.stream(0)
    }

    /// What the command wrote to stderr, or the head and the tail of it.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        self.stream(1)
    }

    /// What is missing of stdout and of stderr.
    #[must_use]
    pub fn gaps(&self) -> [Gap; 2] {
        self.gaps
    }

    fn stream(&self, index: usize) -> &[u8] {
        let range = self.streams[index].clone();
        self.reply.as_bytes().get(range).unwrap_or_default()
    }
}
