//! Which files tell of the run, beside what goes to stdout? Each has a form of its own; the thread that
//! writes stdout writes them too.

mod export;
mod joblog;
mod junit;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

pub use self::export::{Export, wall_clock};
use self::{joblog::Joblog, junit::Junit};
use super::{events, outcome};
use crate::{model::RunInfo, settings, template::Template};
use pool::{
    event::{Event, Tally},
    job::Outcome,
    limits::Limits,
};
use text::escape::visible;

/// Why a report could not be begun.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {} cannot be written: {source}: name another file", visible(path.as_os_str().as_encoded_bytes()))]
pub struct ReportError {
    flag: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The files of a run, as the thread needs them.
#[derive(Debug)]
pub struct ReportFile {
    /// How it was asked for, for messages.
    name: String,
    file: File,
}

impl ReportFile {
    /// The name, and the file for the thread.
    #[must_use]
    pub fn split(self) -> (String, File) {
        (self.name, self.file)
    }
}

/// Opens the files.
///
/// # Errors
/// The first that cannot be written.
pub fn open(reports: &[settings::Report]) -> Result<Vec<ReportFile>, ReportError> {
    let open = |report: &settings::Report| {
        let (flag, path) = named(report);
        let file = File::create(path).map_err(|source| ReportError {
            flag,
            path: path.to_owned(),
            source,
        })?;
        let path = visible(path.as_os_str().as_encoded_bytes());
        Ok(ReportFile { name: format!("{flag} {path}"), file })
    };
    reports.iter().map(open).collect()
}

fn named(report: &settings::Report) -> (&'static str, &Path) {
    match report {
        settings::Report::Joblog(path) => ("--joblog", path),
        settings::Report::Junit(path) => ("--report junit:", path),
        settings::Report::Jsonl(path) => ("--report jsonl:", path),
        settings::Report::Events(path) => ("--events", path),
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug)]
pub struct RunOver {
    /// When, since it began.
    pub at: Duration,
    /// How, by its name in records.
    pub status: &'static str,
    /// How its jobs stand.
    pub jobs: Tally,
}

/// What is written to such a file.
#[derive(Debug)]
pub(super) enum Report {
    Joblog(Joblog),
    Junit(Junit),
    Jsonl(Limits),
    Events(Arc<RunInfo>),
}

impl Report {
    /// One of the form asked for, of a run of these commands.
    pub(super) fn new(
        report: &settings::Report,
        template: Option<Template>,
        limits: &Limits,
        about: &Arc<RunInfo>,
    ) -> Self {
        match report {
            settings::Report::Joblog(_) => Self::Joblog(Joblog::new(template)),
            settings::Report::Junit(_) => Self::Junit(Junit::new(template)),
            settings::Report::Jsonl(_) => Self::Jsonl(limits.clone()),
            settings::Report::Events(_) => Self::Events(Arc::clone(about)),
        }
    }

    /// What stands before all jobs.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        match self {
            Self::Joblog(joblog) => joblog.begin(out),
            Self::Junit(junit) => junit.head(out),
            Self::Jsonl(_) => {}
            Self::Events(about) => events::begin(about, out),
        }
    }

    /// A job has ended.
    pub(super) fn outcome(&mut self, now: Duration, outcome: &Outcome, out: &mut Vec<u8>) {
        match self {
            Self::Joblog(joblog) => joblog.outcome(outcome, out),
            Self::Junit(junit) => junit.outcome(outcome, out),
            Self::Jsonl(limits) => outcome::write(outcome, limits, out),
            Self::Events(_) => events::job(now, outcome, out),
        }
    }

    /// Something else has happened.
    pub(super) fn event(&self, now: Duration, event: &Event, out: &mut Vec<u8>) {
        if let Self::Events(_) = self {
            events::event(now, event, out);
        }
    }

    /// What stands behind all jobs; and what, of the same length, in place of the beginning.
    pub(super) fn end(&self, end: RunOver, out: &mut Vec<u8>) -> Option<Vec<u8>> {
        match self {
            Self::Junit(junit) => {
                junit.end(out);
                let mut head = Vec::new();
                junit.head(&mut head);
                Some(head)
            }
            Self::Events(_) => {
                events::end(end.at, end.status, end.jobs, out);
                None
            }
            Self::Joblog(_) | Self::Jsonl(_) => None,
        }
    }
}

/// The command of a job, or its payload where there is none.
fn command(outcome: &Outcome, slot: u32, template: Option<&Template>, out: &mut Vec<u8>) {
    use crate::template::Filling;
    let (payload, number) = (outcome.payload.as_bytes(), outcome.id);
    match template {
        Some(template) => template.show(Filling { payload, number, slot }, out),
        None => out.extend_from_slice(payload),
    }
}
