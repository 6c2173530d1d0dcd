//! What is a job, and how can it end? Plain data, from the source through the pool to the sink.

use serde::{Deserialize, Serialize};

use std::{fmt, sync::Arc, time::Duration};

use crate::{
    command::Ran,
    event::WorkerId,
    exit::{Cause, Evidence},
    hang::Hang,
};

/// The ways in which a job fails while its worker goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The worker returned an error.
    Error,
    /// The worker caught a panic.
    Panic,
}

/// Something to be done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Job {
    /// What, in the words of whoever wrote it.
    pub payload: Payload,
    /// Where it stands in its input: the number of the line or argument, from 1.
    pub position: u64,
}

/// A job that was taken on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// Its number, by which it is known to everybody, and from one run to the next.
    pub id: u64,
    /// Which turn its outcome has where outcomes come out in order: 1, 2, 3.
    pub place: u64,
    /// What is to be done.
    pub job: Job,
}

/// How a job ended. Every accepted job has exactly one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Outcome {
    /// The job's number.
    pub id: u64,
    /// Which turn it has where outcomes come out in order.
    pub place: u64,
    /// Where it stood in its input.
    pub position: u64,
    /// What was to be done.
    pub payload: Payload,
    /// How it ended.
    pub end: JobEnd,
    /// Its last attempt; `None` where there was none.
    pub last: Option<Attempt>,
    /// The attempts before that, in order. Most jobs have none.
    pub earlier: Vec<Attempt>,
    /// Whether it was told before, or may have been: by a run that this one continues.
    pub again: bool,
}

impl Outcome {
    /// Whether it is what was wanted.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        matches!(self.end, JobEnd::Ok(_))
    }

    /// All its attempts, in order.
    pub fn attempts(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }
}

/// The ways in which a job ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum JobEnd {
    /// It was done; the reply.
    Ok(Payload),
    /// It failed, or took too long, and has no retries left: its last attempt says why.
    Failed,
    /// Its worker died of it, and would again: it is parked. Its last attempt holds the evidence.
    Crashed,
    /// It is longer than a frame may be, and was never tried.
    TooLong {
        /// How many bytes it has.
        bytes: u64,
        /// How many a job may have.
        cap: u64,
    },
    /// The run ended before it did. It can be run again.
    NotRun,
}

impl JobEnd {
    /// Whether it is told of the job once and for all: else another run may come to another.
    #[must_use]
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Ok(_) | Self::Failed | Self::Crashed)
    }
}

/// One try of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which try, from 1.
    pub number: u32,
    /// Who tried.
    pub worker: WorkerId,
    /// In which process.
    pub pid: i32,
    /// When it began, since the run did.
    pub began: Duration,
    /// How long it ran.
    pub took: Duration,
    /// The most memory its worker had held by then, in bytes, in this job or in one before.
    /// `None` where that was not looked at: for short jobs it would cost more than they do.
    pub peak_bytes: Option<u64>,
    /// What it was doing when its time was over, where it was looked at.
    pub hang: Option<Box<Hang>>,
    /// How it ended.
    pub end: AttemptEnd,
}

/// The ways in which an attempt ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AttemptEnd {
    /// With a reply.
    Ok,
    /// With an error, or a panic that the worker caught.
    Error(Box<Failure>),
    /// At its time limit.
    Timeout(Box<Death>),
    /// The worker died of it.
    Crashed(Box<Death>),
    /// The worker died or was stopped, and not of it: it was tried again, uncharged.
    Returned(Box<Death>),
    /// A command was run, however it ended.
    Ran(Box<Ran>),
    /// The supervisor died while it ran: how it ended is not known.
    Lost,
}

/// The end in one or two words: `ok`, `error`, `timeout`, `exit`, `memory (sure)`.
impl fmt::Display for AttemptEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Ran(ran) if ran.is_ok() => f.write_str("ok"),
            Self::Ran(ran) => ran.cause.fmt(f),
            Self::Error(failure) => f.write_str(match failure.kind {
                FailureKind::Error => "error",
                FailureKind::Panic => "panic",
            }),
            Self::Timeout(_) => f.write_str("timeout"),
            Self::Lost => f.write_str("lost"),
            Self::Crashed(death) | Self::Returned(death) => death.cause.fmt(f),
        }
    }
}

/// What a worker says of a job that failed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Failure {
    /// Error or panic.
    pub kind: FailureKind,
    /// For people.
    pub message: String,
    /// Where in the worker's source, if it said so.
    pub place: Option<String>,
}

/// How a worker died while it ran a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// Why.
    pub cause: Cause,
    /// How; `None` where the worker still lives.
    pub evidence: Option<Evidence>,
    /// The last of what it wrote to stdout and stderr, as it came.
    pub last_output: Vec<u8>,
}

/// The bytes of a job or a reply: short ones in place, since an allocation costs more than the
/// rest of what is done for a job; long ones shared, since they are worth no copy.
#[derive(Clone)]
pub struct Payload(Form);

/// Up to this many bytes are kept in place.
const SHORT_BYTES_MAX: usize = 30;
/// From this many on, clones share the bytes.
const LONG_BYTES_MIN: usize = 32 << 10;

#[derive(Clone)]
enum Form {
    Short {
        length: u8,
        bytes: [u8; SHORT_BYTES_MAX],
    },
    Owned(Box<[u8]>),
    /// What is before `start` belongs to the frame it came in.
    Shared {
        frame: Arc<Vec<u8>>,
        start: usize,
    },
}

impl Payload {
    /// A copy of these bytes.
    #[must_use]
    pub fn copy(bytes: &[u8]) -> Self {
        if bytes.len() <= SHORT_BYTES_MAX {
            let mut short = [0; SHORT_BYTES_MAX];
            short[..bytes.len()].copy_from_slice(bytes);
            #[expect(clippy::cast_possible_truncation, reason = "at most 30")]
            return Self(Form::Short { length: bytes.len() as u8, bytes: short });
        }
        if bytes.len() < LONG_BYTES_MIN {
            return Self(Form::Owned(bytes.into()));
        }
        Self(Form::Shared { frame: Arc::new(bytes.to_vec()), start: 0 })
    }

    /// The bytes of `frame` from `start` on, without a copy where that is worth it.
    #[must_use]
    pub fn take(frame: Vec<u8>, start: usize) -> Self {
        let start = start.min(frame.len());
        if frame.len() - start < LONG_BYTES_MIN {
            return Self::copy(&frame[start..]);
        }
        Self(Form::Shared { frame: Arc::new(frame), start })
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Form::Short { length, bytes } => &bytes[..usize::from(*length)],
            Form::Owned(bytes) => bytes,
            Form::Shared { frame, start } => &frame[*start..],
        }
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_bytes().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether clones share the bytes, so that a clone costs next to nothing.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        matches!(self.0, Form::Shared { .. })
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Payload {}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.as_bytes().escape_ascii().to_string(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_payload_is_as_small_as_its_form_allows() {
        assert_eq!(size_of::<Payload>(), 32);
    }

    proptest! {
        #[test]
        fn bytes_are_kept_whatever_their_form(length in 0usize..70_000, start in 0usize..100) {
            let bytes: Vec<u8> = (0..=250u8).cycle().take(length).collect();
            let start = start.min(length);
            let copy = Payload::copy(&bytes);
            prop_assert_eq!(copy.as_bytes(), &bytes[..]);
            let taken = Payload::take(bytes.clone(), start);
            prop_assert_eq!(taken.as_bytes(), &bytes[start..]);
            prop_assert_eq!(taken.clone(), taken);
        }
    }
}
