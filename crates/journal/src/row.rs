//! Converts runs and attempts to the rows of their tables, and back.

use std::time::Duration;

use pool::{
    event::WorkerId,
    job::{Attempt, AttemptEnd, Payload},
    limits::Resource,
};
use rusqlite::types::ValueRef;

use super::{
    checksum::Values,
    error::Damage,
    evidence::{self, Columns, nanos},
    identity::Digest,
    record::{Attempted, Header, Run, Settled},
};

pub(super) fn int(number: u64) -> ValueRef<'static> {
    ValueRef::Integer(i64::try_from(number).unwrap_or(i64::MAX))
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

/// How far an attempt has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage<'a> {
    Running,
    /// The job was requeued before the attempt began.
    NotBegun,
    Ended(Option<&'a Settled>),
}

/// The cause of an attempt that never began.
pub(super) const NOT_BEGUN: &str = "not begun";

/// Converts an attempt to the values of its row.
pub(super) fn with_attempt<T>(
    (id, run, job): (u64, u64, u64),
    attempt: &Attempt,
    stage: Stage<'_>,
    write: impl FnOnce(&[ValueRef<'_>]) -> T,
) -> T {
    let settles = match stage {
        Stage::Ended(settles) => settles,
        Stage::Running | Stage::NotBegun => None,
    };
    let columns = match stage {
        Stage::Running => None,
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
        int(attempt.worker.generation.into()),
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
                worker: WorkerId { slot: values.int(4)?, generation: values.int(5)? },
                pid,
                began: Duration::from_nanos(values.int(7)?),
                took: Duration::from_nanos(values.maybe_int(8)?.unwrap_or(0)),
                peak_bytes: values.maybe_int(9)?,
                // Hang diagnostics are not recorded.
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
        // The output of a command belongs to its attempt.
        Some("ok") if is_command => Some(Settled::Ok(Payload::copy(&[]))),
        Some("ok") => Some(Settled::Ok(Payload::copy(reply.unwrap_or_default()))),
        Some("failed") => Some(Settled::Failed),
        Some("crashed") => Some(Settled::Crashed),
        Some(_) => return Err(values.unreadable(11)),
    })
}

impl Run {
    pub(super) fn write<T>(&self, write: impl FnOnce(&[ValueRef<'_>]) -> T) -> T {
        // These types always serialise to JSON.
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
