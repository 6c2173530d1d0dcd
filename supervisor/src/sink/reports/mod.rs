//! The files that report on a run beside stdout: joblog, JUnit, JSON records and events. The writer
//! thread that serves stdout writes them too.

mod export;
mod joblog;
mod junit;

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    rc::Rc,
    sync::Arc,
    time::{Duration, SystemTime},
};

pub use self::export::{Export, wall_clock};
use self::{joblog::Joblog, junit::Junit};
use super::Outlet;
use crate::{
    settings::{self, Settings},
    template::Template,
};
use pool::{
    event::{Event, Tally},
    job::Outcome,
    limits::Limits,
};
use records::{RunInfo, events, outcome};
use text::escape::visible;

/// A report file cannot be created.
#[derive(Debug, thiserror::Error)]
#[error("{flag} {} cannot be written: {reason}: name another file", visible(path.as_os_str().as_encoded_bytes()))]
pub struct ReportError {
    flag: &'static str,
    path: PathBuf,
    reason: io::Error,
}

/// An open report file.
#[derive(Debug)]
pub struct ReportFile {
    /// The option and the path, for messages.
    name: String,
    file: File,
}

impl ReportFile {
    /// The name for messages.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn file(&self) -> &File {
        &self.file
    }
}

/// Creates the files.
///
/// # Errors
/// The first file that cannot be created.
pub fn open(reports: &[settings::Report]) -> Result<Vec<ReportFile>, ReportError> {
    let open = |report: &settings::Report| {
        let (flag, path) = named(report);
        let file = files::create(path).map_err(|reason| ReportError {
            flag,
            path: path.to_owned(),
            reason,
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

/// The end of a run, for reports.
#[derive(Clone, Copy, Debug)]
pub struct RunOver {
    /// Time since the run began.
    pub at: Duration,
    /// Status of the run, by [`names::run_status`](records::names::run_status).
    pub status: &'static str,
    /// Counters of its jobs.
    pub jobs: Tally,
}

/// The report files of a run: `--joblog`, `--report` and `--events`.
#[derive(Debug)]
pub struct Reports {
    reports: Vec<ReportContent>,
    outlet: Rc<Outlet>,
}

impl Reports {
    /// Begins the reports of these settings. The writer thread of the outlet must have their files.
    #[must_use]
    pub fn new(settings: &Settings, info: &Arc<RunInfo>, outlet: Rc<Outlet>) -> Self {
        let commands = settings.jobs.as_ref().and_then(|jobs| jobs.commands.as_ref());
        let template = commands.map(|commands| &commands.template);
        let limits = &settings.program.limits;
        let report = |report| ReportContent::new(report, template.cloned(), limits, info);
        let mut reports = Self { reports: settings.reports.iter().map(report).collect(), outlet };
        reports.each(|report, out| report.begin(out));
        reports
    }

    /// Writes an event.
    pub fn event(&mut self, now: Duration, event: &Event) {
        self.each(|report, out| report.event(now, event, out));
    }

    /// Writes outcomes of jobs.
    pub fn outcomes(&mut self, now: Duration, outcomes: &[Outcome]) {
        self.each(|report, out| {
            outcomes.iter().for_each(|outcome| report.outcome(now, outcome, out));
        });
    }

    /// Completes the reports.
    pub fn end(&mut self, over: RunOver) {
        for (number, report) in self.reports.drain(..).enumerate() {
            let mut end = Vec::new();
            let head = report.end(over, &mut end);
            self.outlet.writer.report(number, &mut end);
            if let Some(head) = head {
                self.outlet.writer.report_head(number, head);
            }
        }
    }

    fn each(&mut self, write: impl Fn(&mut ReportContent, &mut Vec<u8>)) {
        for (number, report) in self.reports.iter_mut().enumerate() {
            let mut lines = Vec::new();
            write(report, &mut lines);
            self.outlet.writer.report(number, &mut lines);
        }
    }
}

/// The content of a report file.
#[derive(Debug)]
enum ReportContent {
    Joblog(Joblog),
    Junit(Junit),
    Jsonl(Limits),
    Events(Arc<RunInfo>),
}

impl ReportContent {
    /// A report of the kind that the settings ask for, on a run of the commands of `template`.
    pub(super) fn new(
        report: &settings::Report,
        template: Option<Template>,
        limits: &Limits,
        info: &Arc<RunInfo>,
    ) -> Self {
        match report {
            settings::Report::Joblog(_) => Self::Joblog(Joblog::new(template, SystemTime::now())),
            settings::Report::Junit(_) => Self::Junit(Junit::new(template)),
            settings::Report::Jsonl(_) => Self::Jsonl(limits.clone()),
            settings::Report::Events(_) => Self::Events(Arc::clone(info)),
        }
    }

    /// Appends what stands before all jobs.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        match self {
            Self::Joblog(joblog) => joblog.begin(out),
            Self::Junit(junit) => junit.head(out),
            Self::Jsonl(_) => {}
            Self::Events(info) => events::begin(info, out),
        }
    }

    /// Appends a job that has ended.
    pub(super) fn outcome(&mut self, now: Duration, outcome: &Outcome, out: &mut Vec<u8>) {
        match self {
            Self::Joblog(joblog) => joblog.outcome(outcome, out),
            Self::Junit(junit) => junit.outcome(outcome, out),
            Self::Jsonl(limits) => outcome::write(outcome, limits, out),
            Self::Events(_) => events::job(now, outcome, out),
        }
    }

    /// Appends another event.
    pub(super) fn event(&self, now: Duration, event: &Event, out: &mut Vec<u8>) {
        if let Self::Events(_) = self {
            events::event(now, event, out);
        }
    }

    /// Appends what stands behind all jobs. Returns bytes that replace the beginning of the file and
    /// have its length, where the report has totals there.
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

/// Appends the command of a job, or its payload where the run has no commands.
fn command(outcome: &Outcome, slot: u32, template: Option<&Template>, out: &mut Vec<u8>) {
    use crate::template::Filling;
    let (payload, number) = (outcome.payload.as_bytes(), outcome.id);
    match template {
        Some(template) => template.show(Filling { payload, number, slot }, out),
        None => out.extend_from_slice(payload),
    }
}
