//! A command that ran for a job, how it ended and what it wrote.

use std::ops::Range;

use crate::{
    exit::{Asked, Cause, Evidence},
    payload::Payload,
};

/// A command that was run, or could not be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ran {
    /// Its process; 0 where there was none.
    pub pid: i32,
    /// Why it ended, by the pool's verdict.
    pub cause: Cause,
    /// How it ended; `None` where it never ran.
    pub evidence: Option<Evidence>,
    /// What was asked of it.
    pub asked: Option<Asked>,
    /// What it wrote.
    pub output: Captured,
    /// Whether a process that it left behind kept its output open.
    pub leaked: bool,
}

impl Ran {
    /// Whether it ended as wanted: by itself, with code 0.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.cause == Cause::Exit
            && self.evidence.as_ref().is_some_and(|evidence| evidence.status.is_success())
    }
}

/// What a command wrote, as its launcher's reply holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Captured {
    reply: Payload,
    streams: [Range<usize>; 2],
    /// Of each stream: how many bytes were left out, and behind which.
    gaps: [Gap; 2],
}

/// Bytes of a stream that were not kept.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, serde::Serialize, serde::Deserialize)]
pub struct Gap {
    /// Behind so many that were.
    pub at: u64,
    /// How many.
    pub bytes: u64,
}

impl Captured {
    /// What lies in these places of a reply; outside of it lies nothing.
    #[must_use]
    pub fn new(reply: Payload, streams: [Range<usize>; 2], gaps: [Gap; 2]) -> Self {
        let end = reply.len();
        let streams = streams.map(|range| range.start.min(end)..range.end.min(end));
        Self { reply, streams, gaps }
    }

    /// Nothing.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Payload::copy(&[]), [0..0, 0..0], [Gap::default(); 2])
    }

    /// What it wrote to stdout, or the head and the tail of it.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        self.stream(0)
    }

    /// To stderr.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        self.stream(1)
    }

    /// What is missing of each.
    #[must_use]
    pub fn gaps(&self) -> [Gap; 2] {
        self.gaps
    }

    fn stream(&self, index: usize) -> &[u8] {
        let range = self.streams[index].clone();
        self.reply.as_bytes().get(range).unwrap_or_default()
    }
}
