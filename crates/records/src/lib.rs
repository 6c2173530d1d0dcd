//! The external form of a run: everything that other programs read of it.
//!
//! `--format jsonl`, `--events`, `journal export`, the snapshots behind `ps`, `why`, `top` and the
//! page, the metrics, the joblog and JUnit all take their types, names and numbers from here, so
//! that one thing has one name and one form wherever a user meets it. A change of this crate is a
//! change of what users parse: the golden tests beside each type make it visible in review.
//!
//! # Conventions
//!
//! - **Times** are JSON numbers of milliseconds with at most three decimals, rounded down to whole
//!   microseconds; their names end in `_ms`. `at_ms`, `began_ms` and `started_ms` count from the
//!   start of the run, `*_unix_ms` from 1970, all others are durations. See [`Millis`].
//! - **Sizes** are integers of bytes; their names end in `_bytes`.
//! - **Names** of causes, reasons, states and statuses are `snake_case` and come from [`names`].
//!   They are for programs. Fields called `why` hold a sentence for people, from [`words`].
//! - **Bytes** that are not UTF-8 are base64 in a field whose name ends in `_base64`, which then
//!   takes the place of the plain one.
//! - **Absent** means unknown, none, or `false`; no field is `null`.
//! - **Compatibility**: fields and names may be added. None changes its meaning or is removed while
//!   [`SCHEMA`] stays the same.
//!
//! The rows of a journal are not here: they are a storage format, which must read what an older
//! version wrote.

pub mod attempt;
mod ended;
pub mod events;
#[cfg(test)]
mod golden;
pub mod json;
mod log;
mod millis;
pub mod names;
pub mod outcome;
mod run;
mod snapshot;
mod tally;
pub mod words;

pub use self::{
    attempt::{Attempt, Hang, HungProcess},
    ended::{Cause, Ended, Exit, WorkerRef},
    events::{Event, Record},
    log::LogLine,
    millis::Millis,
    outcome::Outcome,
    run::{JournalRun, RunInfo, SCHEMA},
    snapshot::{
        AbsentRun, Bucket, Count, CurrentJob, Failure, Jobs, LastWorker, Progress, Sample,
        ServiceTime, Snapshot, Worker,
    },
    tally::Tally,
};
