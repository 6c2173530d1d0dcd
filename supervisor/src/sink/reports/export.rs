//! What do reports say of jobs that were recorded earlier?

use std::time::{Duration, SystemTime};

use super::{Report, joblog::Joblog};
use pool::{job::Outcome, limits::Limits};

/// A report of what was recorded, in memory.
#[derive(Debug)]
pub struct Export(Report);

impl Export {
    /// One JSON record a line; these limits were in force.
    #[must_use]
    pub fn jsonl(limits: Limits) -> Self {
        Self(Report::Jsonl(limits))
    }

    /// GNU parallel's columns; the times of attempts count from `began`, since 1970.
    #[must_use]
    pub fn joblog(began: Duration) -> Self {
        Self(Report::Joblog(Joblog::since(SystemTime::UNIX_EPOCH + began)))
    }

    /// What stands before all jobs.
    pub fn begin(&self, out: &mut Vec<u8>) {
        self.0.begin(out);
    }

    /// A job that ended.
    pub fn outcome(&mut self, outcome: &Outcome, out: &mut Vec<u8>) {
        // When it is told is of no interest to these.
        self.0.outcome(Duration::ZERO, outcome, out);
    }
}

/// A time since 1970, as people read it: `2026-11-21T09:30:15Z`.
#[must_use]
pub fn wall_clock(time: Duration) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time).to_string()
}
