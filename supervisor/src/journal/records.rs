//! What is recorded, and how does it stand in a row?

use std::{collections::BTreeMap, time::Duration};

use rusqlite::types::ValueRef;

use super::{
    checksum::Values,
    error::Damage,
    evidence::{self, Columns},
    identity::Digest,
};
use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, JobEnd, Payload},
    limits::{Limits, Resource},
};

/// Something to be recorded. Jobs are named by their number in the journal, which is that of the
/// row; [`resume`](super::resume) gives it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Record {
    /// There is a job that was not there before. Its number is one more than that of the last.
    ///
    /// One that is too long to be kept has no digest, and is none of these: it is refused anew
    /// each time it is read.
    Job {
        /// Its number.
        job: u64,
        /// What it is known by.
        digest: Digest,
        /// Where it stands in the input of this run.
        position: u64,
        /// What is to be done.
        payload: Payload,
    },
    /// An attempt begins.
    Started {
        /// The job's number.
        job: u64,
        /// Which try in this run, from 1.
        number: u32,
        /// Who tries.
        worker: WorkerId,
        /// In which process.
        pid: i32,
        /// When, since the run began.
        began: Duration,
    },
    /// An attempt has ended; whether its start was recorded is all the same.
    Ended {
        /// The job's number.
        job: u64,
        /// The attempt.
        attempt: Attempt,
        /// How the job ended by it; `None` where there will be another.
        settles: Option<Settled>,
    },
    /// An attempt whose start was recorded was none: the job was sent to a worker and came back,
    /// not begun. The next attempt takes its row.
    TakenBack {
        /// The job's number.
        job: u64,
    },
    /// The ends of all jobs from `first` to `last` were put out.
    Sent {
        /// The first job's number.
        first: u64,
        /// The last one's.
        last: u64,
    },
}

impl Record {
    /// About how much memory it takes.
    pub(super) fn bytes(&self) -> usize {
        let more = match self {
            Self::Job { payload, .. } => payload.len(),
            Self::Ended { attempt, settles, .. } => {
                let reply = match settles {
                    Some(Settled::Ok(reply)) => reply.len(),
                    _ => 0,
                };
                reply + end_bytes(&attempt.end)
            }
            Self::Started { .. } | Self::TakenBack { .. } | Self::Sent { .. } => 0,
        };
        size_of::<Self>() + more
    }
}

fn end_bytes(end: &AttemptEnd) -> usize {
    match end {
        AttemptEnd::Ok | AttemptEnd::Lost => 0,
        AttemptEnd::Error(failure) => failure.message.len(),
        AttemptEnd::Timeout(death) | AttemptEnd::Crashed(death) | AttemptEnd::Returned(death) => {
            death.last_output.len()
        }
        AttemptEnd::Ran(ran) => ran.output.stdout().len() + ran.output.stderr().len(),
    }
}

/// How a job ended for good.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Settled {
    /// Done; the reply.
    Ok(Payload),
    /// It failed.
    Failed,
    /// It is parked.
    Crashed,
}

impl Settled {
    /// What is recorded of an end; `None` for a job that was not tried, of which nothing is.
    #[must_use]
    pub fn of(end: &JobEnd) -> Option<Self> {
        match end {
            JobEnd::Ok(reply) => Some(Self::Ok(reply.clone())),
            JobEnd::Failed => Some(Self::Failed),
            JobEnd::Crashed => Some(Self::Crashed),
            JobEnd::TooLong { .. } | JobEnd::NotRun => None,
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Ok(_) => "ok",
            Self::Failed => "failed",
            Self::Crashed => "crashed",
        }
    }
}

impl From<Settled> for JobEnd {
    fn from(settled: Settled) -> Self {
        match settled {
            Settled::Ok(reply) => Self::Ok(reply),
            Settled::Failed => Self::Failed,
            Settled::Crashed => Self::Crashed,
        }
    }
}

/// What a run is of, and under which rules: compared when it is continued.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Header {
    /// The worker's program and its arguments, or the words of a command.
    pub program: Vec<String>,
    /// The digest of the program's file.
    pub digest: Option<Digest>,
    /// What was set, by the names users know.
    pub settings: BTreeMap<String, String>,
    /// The limits in force: evidence of why processes end.
    pub limits: Limits,
}

/// An invocation of the supervisor, as it was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Its number, from 1.
    pub number: u64,
    /// When it began, since 1970.
    pub started: Duration,
    /// The supervisor's process.
    pub pid: u32,
    /// The supervisor's version.
    pub version: String,
    /// How it was synced.
    pub sync: String,
    /// What it was of.
    pub header: Header,
    /// When it ended; `None` where it runs, or died.
    pub ended: Option<Duration>,
    /// With which exit status.
    pub status: Option<u8>,
}

/// An attempt, as it was recorded.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Attempted {
    /// Its row.
    pub id: u64,
    /// In which run.
    pub run: u64,
    /// Of which job.
    pub job: u64,
    /// The attempt itself. Of one whose end was not recorded the end is `Lost`.
    pub attempt: Attempt,
    /// Whether its end was recorded.
    pub has_ended: bool,
    /// How the job ended by it.
    pub settles: Option<Settled>,
}

pub(super) fn int(number: u64) -> ValueRef<'static> {
    ValueRef::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn micros(duration: Duration) -> ValueRef<'static> {
    int(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
}

fn text(text: &str) -> ValueRef<'_> {
    ValueRef::Text(text.as_bytes())
}

fn maybe<T>(value: Option<T>, column: impl FnOnce(T) -> ValueRef<'static>) -> ValueRef<'static> {
    value.map_or(ValueRef::Null, column)
}

/// What is known of an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage<'a> {
    Runs,
    /// It was none.
    NotBegun,
    Ended(Option<&'a Settled>),
}

/// The cause of what was no attempt.
pub(super) const NOT_BEGUN: &str = "not begun";

/// The row of an attempt.
pub(super) fn with_attempt<T>(
    (id, run, job): (u64, u64, u64),
    attempt: &Attempt,
    stage: Stage<'_>,
    write: impl FnOnce(&[ValueRef<'_>]) -> T,
) -> T {
    let settles = match stage {
        Stage::Ended(settles) => settles,
        Stage::Runs | Stage::NotBegun => None,
    };
    let columns = match stage {
        Stage::Runs => None,
        Stage::NotBegun => Some(Columns { cause: NOT_BEGUN.into(), evidence: None, reply: None }),
        Stage::Ended(settles) => Some(evidence::columns(attempt, settles)),
    };
    let columns = columns.as_ref();
    let is_lost = attempt.end == AttemptEnd::Lost;
    let took = columns.filter(|_| !is_lost).map(|_| int(nanos(attempt.took)));
    write(&[
        int(id),
        int(run),
        int(job),
        int(attempt.number.into()),
        int(attempt.worker.slot.into()),
        int(attempt.worker.life.into()),
        ValueRef::Integer(attempt.pid.into()),
        int(nanos(attempt.began)),
        took.unwrap_or(ValueRef::Null),
        maybe(attempt.peak_bytes, int),
        columns.map_or(ValueRef::Null, |columns| text(&columns.cause)),
        settles.map_or(ValueRef::Null, |settles| text(settles.name())),
        columns.and_then(|c| c.evidence.as_deref()).map_or(ValueRef::Null, text),
        columns.and_then(|c| c.reply.as_deref()).map_or(ValueRef::Null, ValueRef::Blob),
    ])
}

impl Attempted {
    pub(super) fn read(values: &Values<'_>) -> Result<Self, Damage> {
        let (pid, reply) = (values.int(6)?, values.maybe_blob(13)?);
        let cause = values.maybe_text(10)?;
        let has_ended = cause.is_some();
        let end = match has_ended {
            true => evidence::end(values.maybe_text(12)?, reply, pid),
            false => Some(AttemptEnd::Lost),
        };
        Ok(Self {
            id: values.int(0)?,
            run: values.int(1)?,
            job: values.int(2)?,
            attempt: Attempt {
                number: values.int(3)?,
                worker: WorkerId { slot: values.int(4)?, life: values.int(5)? },
                pid,
                began: Duration::from_nanos(values.int(7)?),
                took: Duration::from_nanos(values.maybe_int(8)?.unwrap_or(0)),
                peak_bytes: values.maybe_int(9)?,
                // That is for people, at the time.
                hang: None,
                end: end.ok_or_else(|| values.unreadable(12))?,
            },
            has_ended,
            settles: settled(values, reply)?,
        })
    }
}

fn settled(values: &Values<'_>, reply: Option<&[u8]>) -> Result<Option<Settled>, Damage> {
    let is_command = values.maybe_text(12)?.is_some();
    Ok(match values.maybe_text(11)? {
        None => None,
        // A command's output is its attempt's.
        Some("ok") if is_command => Some(Settled::Ok(Payload::copy(&[]))),
        Some("ok") => Some(Settled::Ok(Payload::copy(reply.unwrap_or_default()))),
        Some("failed") => Some(Settled::Failed),
        Some("crashed") => Some(Settled::Crashed),
        Some(_) => return Err(values.unreadable(11)),
    })
}

impl Run {
    pub(super) fn write<T>(&self, write: impl FnOnce(&[ValueRef<'_>]) -> T) -> T {
        // Words, numbers and names: nothing that JSON cannot say.
        let program = serde_json::to_string(&self.header.program).unwrap_or_default();
        let settings = serde_json::to_string(&self.header.settings).unwrap_or_default();
        let limits: Vec<_> = self.header.limits.iter().collect();
        let limits = serde_json::to_string(&limits).unwrap_or_default();
        let digest = self.header.digest.as_ref();
        write(&[
            int(self.number),
            micros(self.started),
            int(self.pid.into()),
            text(&self.version),
            text(&self.sync),
            text(&program),
            digest.map_or(ValueRef::Null, |digest| ValueRef::Blob(digest.as_bytes())),
            text(&settings),
            text(&limits),
            maybe(self.ended, micros),
            maybe(self.status, |status| int(status.into())),
        ])
    }

    pub(super) fn read(values: &Values<'_>) -> Result<Self, Damage> {
        fn json<T: serde::de::DeserializeOwned>(v: &Values<'_>, at: usize) -> Result<T, Damage> {
            serde_json::from_str(v.text(at)?).map_err(|_| v.unreadable(at))
        }
        let digest = match values.maybe_blob(6)? {
            None => None,
            Some(bytes) => Some(Digest::from_bytes(bytes).ok_or_else(|| values.unreadable(6))?),
        };
        Ok(Self {
            number: values.int(0)?,
            started: Duration::from_micros(values.int(1)?),
            pid: values.int(2)?,
            version: values.text(3)?.into(),
            sync: values.text(4)?.into(),
            header: Header {
                program: json(values, 5)?,
                digest,
                settings: json(values, 7)?,
                limits: json::<Vec<(Resource, u64)>>(values, 8)?.into_iter().collect(),
            },
            ended: values.maybe_int(9)?.map(Duration::from_micros),
            status: values.maybe_int(10)?,
        })
    }
}
