//! What is said between a run and those who ask it? Lines of JSON. Fields may come; none changes its
//! meaning or goes while [`SCHEMA`] stays what it is.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use pool::event::WorkerId;
pub use records::SCHEMA;

/// No request is longer.
pub const REQUEST_BYTES_MAX: usize = 4096;

/// Stands in a stream where whoever reads it was too slow, and has missed something.
pub const GAP: &[u8] = b"{\"type\":\"gap\"}\n";

/// A request, as it is sent.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Request {
    /// The version of whoever asks.
    pub schema: u32,
    /// What is asked.
    #[serde(flatten)]
    pub ask: Ask,
}

/// What can be asked of a run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub enum Ask {
    /// How does it look? Answered with a [`records::Snapshot`].
    Look,
    /// The same, again and again: a [`records::Snapshot`] a line, twice a second,
    /// the last one as the run ended up.
    Watch,
    /// What happens, from now on: a line for each event.
    Events,
    /// What workers have written lately, a line for each; and from now on, where it is followed.
    Logs {
        /// Of this worker only.
        #[serde(default)]
        worker: Option<Worker>,
        /// Whether to go on.
        #[serde(default)]
        follow: bool,
    },
    /// Something is to be done. Answered with a sentence.
    Act(Act),
}

/// What can be done to a run.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// Start nothing more, let what runs finish, and end.
    Drain,
    /// End, with the grace for what runs; or without.
    Stop {
        /// Without.
        #[serde(default)]
        now: bool,
    },
    /// Kill this worker.
    Kill {
        /// Which.
        worker: Worker,
    },
    /// End a job, or do not begin it.
    Cancel {
        /// Its number.
        job: u64,
        /// Without time to end by itself.
        #[serde(default)]
        now: bool,
    },
    /// Do a job again that did not end well.
    Retry {
        /// Its number.
        job: u64,
    },
    /// Have so many workers from now on.
    Scale {
        /// How many.
        workers: u32,
    },
    /// Have so many more than are wanted now, or fewer.
    ScaleBy {
        /// How many.
        workers: i32,
    },
}

/// A worker, as people write it: `w2`, or `w2.7` for its seventh life.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct Worker {
    /// The slot.
    pub slot: u32,
    /// The generation; `None` for the worker that has the slot now.
    #[serde(default, rename = "generation")]
    pub life: Option<u32>,
}

impl Worker {
    /// Whether it is that one.
    #[must_use]
    pub fn is(self, worker: WorkerId) -> bool {
        self.slot == worker.slot && self.life.is_none_or(|life| life == worker.life)
    }
}

impl fmt::Display for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.life {
            Some(life) => write!(f, "w{}.{life}", self.slot),
            None => write!(f, "w{}", self.slot),
        }
    }
}

/// Not a worker.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("`{0}` is no worker: write w2, or w2.7 for its seventh life")]
pub struct NoWorker(String);

impl FromStr for Worker {
    type Err = NoWorker;

    fn from_str(text: &str) -> Result<Self, NoWorker> {
        let read = || {
            let (slot, life) = match text.strip_prefix('w')?.split_once('.') {
                Some((slot, life)) => (slot, Some(life.parse().ok()?)),
                None => (text.strip_prefix('w')?, None),
            };
            let slot = slot.parse().ok().filter(|slot| *slot > 0)?;
            Some(Self { slot, life })
        };
        read().ok_or_else(|| NoWorker(text.into()))
    }
}

/// The first line of an answer.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Answer<T> {
    /// What was asked for; of a stream nothing, and then its lines.
    Ok(T),
    /// Why not, in a sentence.
    Error(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_are_written_as_everywhere() {
        for (text, slot, life) in [("w2", 2, None), ("w2.7", 2, Some(7))] {
            let worker: Worker = text.parse().unwrap();
            assert_eq!((worker.slot, worker.life, worker.to_string().as_str()), (slot, life, text));
        }
        for text in ["2", "w", "w0", "w1.", "w1.x", "wx", ""] {
            assert!(text.parse::<Worker>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_request_is_one_flat_object() {
        let kill = Act::Kill { worker: Worker { slot: 2, life: Some(7) } };
        let request = Request { schema: SCHEMA, ask: Ask::Act(kill) };
        let text = serde_json::to_string(&request).unwrap();
        assert_eq!(
            text,
            r#"{"schema":1,"ask":"act","act":"kill","worker":{"slot":2,"generation":7}}"#
        );
        assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request);
        let stop: Request =
            serde_json::from_str(r#"{"schema":1,"ask":"act","act":"stop"}"#).unwrap();
        assert_eq!(stop.ask, Ask::Act(Act::Stop { now: false }));
    }
}
