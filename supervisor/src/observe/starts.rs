//! Explains why commands could not be started. Jobs that fail for the same reason are reported once,
//! and counted at the end.

use std::{collections::BTreeMap, ffi::OsString, os::unix::ffi::OsStringExt};

use crate::{
    settings::Settings,
    template::{Filling, Template, Words},
};
use pool::{
    exit::{Cause, StartFault},
    job::{AttemptEnd, JobEnd, Outcome},
};
use process::{Program, spawn::lookup};

/// The most reasons that are remembered; jobs with other ones are reported each.
const REASONS_MAX: usize = 100;

/// The reasons so far.
#[derive(Debug)]
pub(super) struct Starts {
    template: Template,
    program: Program,
    words: Words,
    /// With each reason, the number of jobs that were not reported.
    reasons: BTreeMap<String, u64>,
}

/// How a job that could not be started is reported.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Report {
    /// By a line with this reason.
    Now(String),
    /// By the count at the end.
    Later,
}

impl Starts {
    /// `None` if the run starts no commands.
    pub(super) fn new(settings: &Settings) -> Option<Self> {
        let commands = settings.jobs.as_ref()?.commands.as_ref()?;
        let (template, program) = (commands.template.clone(), settings.program.clone());
        Some(Self { template, program, words: Words::default(), reasons: BTreeMap::new() })
    }

    /// How this job is reported; `None` if its command was started.
    pub(super) fn report(&mut self, outcome: &Outcome) -> Option<Report> {
        let fault = fault(outcome)?;
        let slot = outcome.last.as_ref()?.worker.slot;
        let payload = outcome.payload.as_bytes();
        self.template.fill(Filling { payload, number: outcome.id, slot }, &mut self.words);
        let name = self.words.iter().next().unwrap_or_default().to_vec();
        self.program.argv = vec![OsString::from_vec(name)];
        let reason = lookup::cannot_start(fault, &self.program);
        match self.reasons.get_mut(&reason) {
            Some(jobs) => {
                *jobs += 1;
                Some(Report::Later)
            }
            None => {
                if self.reasons.len() < REASONS_MAX {
                    self.reasons.insert(reason.clone(), 0);
                }
                Some(Report::Now(reason))
            }
        }
    }

    /// The lines about jobs that were not reported, with their newlines.
    pub(super) fn rest(&mut self) -> String {
        let counted = std::mem::take(&mut self.reasons).into_iter().filter(|(_, jobs)| *jobs > 0);
        let line = |(reason, jobs)| match jobs {
            1 => format!("supervisor: 1 more job failed for this reason: {reason}\n"),
            jobs => format!("supervisor: {jobs} more jobs failed for this reason: {reason}\n"),
        };
        counted.map(line).collect()
    }
}

fn fault(outcome: &Outcome) -> Option<StartFault> {
    match (&outcome.end, &outcome.last.as_ref()?.end) {
        (JobEnd::Failed, AttemptEnd::Ran(ran)) => match ran.cause {
            Cause::CouldNotStart(fault) => Some(fault),
            _ => None,
        },
        _ => None,
    }
}
