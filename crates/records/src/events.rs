//! Records of events: those of the stream of events, and those of workers in `--format jsonl`.
//!
//! Events carry `at_ms`, the time since the start of the run. The same records in `--format jsonl`
//! carry `time`, the wall-clock time, instead: there no record says when the run began.

mod job;

use std::{borrow::Cow, time::Duration};

use pool::{event, job::Attempt};
use serde::Serialize;

use self::job::why;
pub use self::job::{INPUT_BYTES_MAX, Job, LastAttempt, job};
use crate::{
    Cause, Ended, Millis, Progress, RunInfo, SCHEMA, Tally, WorkerRef,
    json::{is_false, push_line, text_or_base64},
    names, words,
};

/// An event as it is written: its type, its time and its facts.
#[derive(Serialize, Debug)]
pub struct Record<'a> {
    /// Name of the event.
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    at_ms: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<String>,
    #[serde(flatten)]
    event: Event<'a>,
}

impl<'a> Record<'a> {
    /// A record of the stream of events.
    #[must_use]
    pub fn at(now: Duration, event: Event<'a>) -> Self {
        Self { at_ms: Some(now.into()), ..Self::new(event) }
    }

    /// A record of `--format jsonl`, with the wall-clock time in RFC 3339.
    #[must_use]
    pub fn timed(time: String, event: Event<'a>) -> Self {
        Self { time: Some(time), ..Self::new(event) }
    }

    /// A record without a time.
    #[must_use]
    pub fn new(event: Event<'a>) -> Self {
        Self { kind: event.name(), at_ms: None, time: None, event }
    }
}

/// Everything that the stream of events reports about a run.
#[derive(Serialize, Debug)]
#[serde(untagged)]
pub enum Event<'a> {
    /// `begin`: the first record.
    Begin {
        /// Version of the external form.
        schema: u32,
        /// The facts about the run.
        #[serde(flatten)]
        run: &'a RunInfo,
    },
    /// `started`: the worker's program runs.
    Started(WorkerRef),
    /// `ready`: the worker speaks the protocol, or has stayed up long enough to count on.
    Ready(WorkerRef),
    /// `stopping`: the supervisor asks the worker to end, or kills it.
    Stopping {
        /// The worker.
        #[serde(flatten)]
        worker: WorkerRef,
        /// Why, by [`names::stop_reason`].
        reason: &'static str,
        /// The supervisor kills the worker.
        #[serde(skip_serializing_if = "is_false")]
        killed: bool,
    },
    /// `ended`: the worker's process is gone.
    Ended {
        /// The worker, and why and how it ended.
        #[serde(flatten)]
        ended: Ended,
        /// What becomes of the slot, by [`names::next`].
        next: &'static str,
        /// Time until the slot's next worker starts.
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<Millis>,
    },
    /// `unkillable`: the worker was killed and is still there, since the kernel holds it.
    Unkillable(WorkerRef),
    /// `roll_cancelled`: a roll ended early, since this new worker did not stay up.
    RollCancelled(WorkerRef),
    /// `paused`: a user paused the run; running jobs finish, and no other job begins.
    Paused,
    /// `resumed`: a user resumed the run.
    Resumed,
    /// `silent`: the first worker has been up for a while and has not spoken the protocol.
    Silent(WorkerRef),
    /// `retried`: an attempt did not succeed, and there will be another.
    Retried {
        /// Number of the job.
        id: u64,
        /// The attempt that did not succeed.
        #[serde(flatten)]
        last: LastAttempt,
        /// Why the attempt did not succeed.
        #[serde(flatten)]
        cause: Cause,
        /// The cause as a sentence.
        why: String,
        /// How the job is retried, by [`names::retry`].
        retry: &'static str,
        /// Time until the retry.
        #[serde(skip_serializing_if = "Option::is_none")]
        after_ms: Option<Millis>,
    },
    /// `progress`: a job has come further, according to its worker. At most one record a second
    /// for each worker.
    Progress {
        /// The worker.
        #[serde(flatten)]
        worker: WorkerRef,
        /// Number of the job.
        id: u64,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// How far the job is.
        #[serde(flatten)]
        progress: Progress,
    },
    /// `job`: a job has ended.
    Job(Job<'a>),
    /// `shutting_down`: the run is stopping.
    ShuttingDown {
        /// Why, by [`names::shutdown_reason`].
        reason: &'static str,
        /// The reason as a sentence.
        why: String,
    },
    /// `skipped`: records were omitted for a slow reader; the counters have their current values.
    Skipped {
        /// Number of records that were omitted.
        skipped: u64,
        /// The counters.
        #[serde(flatten)]
        jobs: Tally,
    },
    /// `end`: the last record.
    End {
        /// `ok`, `failed`, `gave_up` or `stopped`.
        status: &'static str,
        /// The counters.
        #[serde(flatten)]
        jobs: Tally,
    },
    /// `output`: a line of a worker's output.
    Output {
        /// The worker.
        #[serde(flatten)]
        worker: WorkerRef,
        /// Number of the job that the line belongs to, if that is certain.
        #[serde(skip_serializing_if = "Option::is_none")]
        job: Option<u64>,
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// The line without its newline.
        #[serde(flatten)]
        line: Line<'a>,
        /// The record continues the line of the record before it.
        #[serde(skip_serializing_if = "is_false")]
        continues: bool,
        /// The line did not end here with a newline.
        #[serde(skip_serializing_if = "is_false")]
        partial: bool,
    },
    /// `slot`: at the end of a run, how the last worker of a slot ended.
    Slot {
        /// The worker, and why and how it ended.
        #[serde(flatten)]
        ended: Ended,
        /// Number of times that the slot's worker was replaced.
        restarts: u32,
    },
}

/// A line of output.
#[derive(Serialize, Debug)]
pub struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line_base64: Option<String>,
}

impl<'a> From<&'a [u8]> for Line<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        let (line, line_base64) = text_or_base64(bytes);
        Self { line, line_base64 }
    }
}

impl<'a> Event<'a> {
    /// The type of the record.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Begin { .. } => "begin",
            Self::Started(_) => "started",
            Self::Ready(_) => "ready",
            Self::Stopping { .. } => "stopping",
            Self::Ended { .. } => "ended",
            Self::Unkillable(_) => names::UNKILLABLE,
            Self::RollCancelled(_) => "roll_cancelled",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Silent(_) => "silent",
            Self::Retried { .. } => "retried",
            Self::Progress { .. } => "progress",
            Self::Job(_) => "job",
            Self::ShuttingDown { .. } => "shutting_down",
            Self::Skipped { .. } => "skipped",
            Self::End { .. } => "end",
            Self::Output { .. } => "output",
            Self::Slot { .. } => "slot",
        }
    }

    /// Converts an event; `None` for the counters, which follow from the ends of jobs.
    #[must_use]
    pub fn new(event: &event::Event) -> Option<Self> {
        let of = |worker, pid| WorkerRef::new(worker, pid);
        Some(match event {
            event::Event::Started { worker, pid } => Self::Started(of(*worker, Some(*pid))),
            event::Event::Ready { worker } => Self::Ready(of(*worker, None)),
            event::Event::Unkillable { worker } => Self::Unkillable(of(*worker, None)),
            event::Event::RollCancelled { worker } => Self::RollCancelled(of(*worker, None)),
            event::Event::Paused => Self::Paused,
            event::Event::Resumed => Self::Resumed,
            event::Event::StillSilent { worker } => Self::Silent(of(*worker, None)),
            event::Event::Stopping { worker, why, kill } => Self::Stopping {
                worker: of(*worker, None),
                reason: names::stop_reason(*why),
                killed: *kill,
            },
            event::Event::Ended(ended) => Self::ended(ended),
            event::Event::ShuttingDown { reason } => Self::ShuttingDown {
                reason: names::shutdown_reason(*reason),
                why: words::shutdown(*reason),
            },
            event::Event::Retried { id, attempt, again } => Self::retried(*id, attempt, *again),
            event::Event::Progress { worker, id, attempt, progress } => Self::Progress {
                worker: of(*worker, None),
                id: *id,
                attempt: *attempt,
                progress: progress.into(),
            },
            event::Event::Jobs(_) => return None,
        })
    }

    fn ended(ended: &event::Ended) -> Self {
        let after_ms = match ended.next {
            event::Next::Restart(delay) => Some(delay.into()),
            _ => None,
        };
        Self::Ended { ended: ended.into(), next: names::next(ended.next), after_ms }
    }

    fn retried(id: u64, attempt: &Attempt, again: event::Again) -> Self {
        let after_ms = match again {
            event::Again::After(delay) => Some(delay.into()),
            event::Again::Alone | event::Again::Next => None,
        };
        Self::Retried {
            id,
            last: attempt.into(),
            cause: Cause::of_attempt(&attempt.end).unwrap_or_default(),
            why: why(attempt),
            retry: names::retry(again),
            after_ms,
        }
    }

    /// How the last worker of a slot ended.
    #[must_use]
    pub fn slot(ended: &event::Ended) -> Self {
        Self::Slot { ended: ended.into(), restarts: ended.worker.generation.saturating_sub(1) }
    }
}

/// Appends the first record of a stream of events.
pub fn begin(run: &RunInfo, out: &mut Vec<u8>) {
    push_line(out, &Record::new(Event::Begin { schema: SCHEMA, run }));
}

/// Appends the record of an event. The counters of jobs have no record.
pub fn event(now: Duration, event: &event::Event, out: &mut Vec<u8>) {
    if let Some(event) = Event::new(event) {
        push_line(out, &Record::at(now, event));
    }
}

/// Appends the record of skipped records, with the current counters.
pub fn skipped(now: Duration, records: u64, jobs: event::Tally, out: &mut Vec<u8>) {
    let event = Event::Skipped { skipped: records, jobs: jobs.into() };
    push_line(out, &Record::at(now, event));
}

/// Appends the last record of a stream of events.
pub fn end(now: Duration, status: &'static str, jobs: event::Tally, out: &mut Vec<u8>) {
    push_line(out, &Record::at(now, Event::End { status, jobs: jobs.into() }));
}
