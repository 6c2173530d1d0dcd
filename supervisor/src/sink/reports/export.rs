//! Reports of jobs that a journal holds, made in memory after the run.

use std::time::{Duration, SystemTime};

use super::{ReportContent, joblog::Joblog};
use crate::template::Template;
use pool::{job::Outcome, limits::Limits};

/// A report of recorded jobs.
#[derive(Debug)]
pub struct Export(ReportContent);

impl Export {
    /// One JSON record a line; `limits` were in force.
    #[must_use]
    pub fn jsonl(limits: Limits) -> Self {
        Self(ReportContent::Jsonl(limits))
    }

    /// The joblog of a run of the commands of `template`; attempts count their times from `began`,
    /// the time of the first run since 1970.
    #[must_use]
    pub fn joblog(template: Option<Template>, began: Duration) -> Self {
        Self(ReportContent::Joblog(Joblog::new(template, SystemTime::UNIX_EPOCH + began)))
    }

    /// Appends what stands before all jobs.
    pub fn begin(&self, out: &mut Vec<u8>) {
        self.0.begin(out);
    }

    /// Appends a job that has ended.
    pub fn outcome(&mut self, outcome: &Outcome, out: &mut Vec<u8>) {
        // Neither form has the time of the report.
        self.0.outcome(Duration::ZERO, outcome, out);
    }
}

/// A time since 1970 for people: `2026-11-21T09:30:15Z`.
#[must_use]
pub fn wall_clock(time: Duration) -> String {
    humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + time).to_string()
}
