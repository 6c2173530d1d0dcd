//! Chooses which messages reach stderr: a limited number of lines about jobs per second, followed by
//! the number of lines that were withheld, and one line about a worker's death even though a job
//! and a worker end by it.

use std::{fmt::Write as _, time::Duration};

use super::{
    narrate,
    starts::{Report, Starts},
};
use crate::settings::{Output, Settings};
use pool::{
    event::{Ended, Event, Next, WorkerId},
    job::{Attempt, AttemptEnd, JobEnd, Outcome},
};

/// The most lines about jobs in a second.
const LINES_MAX: u32 = 1000;
const SECOND: Duration = Duration::from_secs(1);

/// The recent lines. Times are since the run began.
#[derive(Debug, Default)]
pub struct Narrator {
    /// When the second began whose lines are counted.
    since: Duration,
    lines: u32,
    withheld: u64,
    /// The last worker whose death was reported with its job.
    reported: Option<WorkerId>,
    /// Whether the run shows what commands write.
    wants_output: bool,
    /// `None` in a run without commands.
    starts: Option<Starts>,
}

impl Narrator {
    /// Begins with a run of these settings.
    #[must_use]
    pub fn new(settings: &Settings) -> Self {
        let (wants_output, starts) = (settings.output != Output::None, Starts::new(settings));
        Self { wants_output, starts, ..Self::default() }
    }

    /// The lines that are due at the end of the run, with their newlines.
    pub fn rest(&mut self) -> Option<String> {
        let withheld = self.take_withheld(Duration::MAX).unwrap_or_default();
        let rest = withheld + &self.starts.as_mut().map(Starts::rest).unwrap_or_default();
        Some(rest).filter(|rest| !rest.is_empty())
    }

    /// The lines about a job that has ended, with their newlines.
    pub fn outcome(&mut self, now: Duration, outcome: &Outcome) -> Option<String> {
        // Most outcomes are of this kind, and there is nothing to tell about them.
        if self.starts.is_none() && matches!(outcome.end, JobEnd::Ok(_)) {
            return None;
        }
        let start = self.starts.as_mut().and_then(|starts| starts.report(outcome));
        if start == Some(Report::Later) {
            return None;
        }
        let mut lines = None;
        if !matches!(outcome.end, JobEnd::Ok(_) | JobEnd::Interrupted | JobEnd::NotRun) {
            let runs_commands = self.starts.is_some();
            let why = match start {
                Some(Report::Now(reason)) => Some(reason),
                _ => None,
            };
            lines = self.admit(now, || narrate::outcome(outcome, why, runs_commands));
            if lines.is_some() {
                outcome.last.iter().for_each(|attempt| self.note_death(attempt));
            }
        }
        if let Some(more) = narrate::leftovers(outcome, self.wants_output) {
            let more = self.admit(now, || Some(more)).unwrap_or_default();
            lines.get_or_insert_default().push_str(&more);
        }
        lines.filter(|lines| !lines.is_empty())
    }

    /// The line about an event, with its newline.
    pub fn event(&mut self, now: Duration, event: &Event, settings: &Settings) -> Option<String> {
        match event {
            Event::Retried { attempt, .. } => {
                let line = self.admit(now, || narrate::line(event, settings))?;
                self.note_death(attempt);
                Some(line)
            }
            Event::Ended(ended) if self.is_reported(ended, settings) => None,
            event => narrate::line(event, settings),
        }
    }

    /// When the number of withheld lines is to be reported.
    #[must_use]
    pub fn due(&self) -> Option<Duration> {
        (self.withheld > 0).then_some(self.since + SECOND)
    }

    /// The line with the number of withheld lines, once their second is over.
    pub fn take_withheld(&mut self, now: Duration) -> Option<String> {
        self.due().filter(|due| *due <= now)?;
        let mut text = String::from("supervisor: ");
        let _ = writeln!(
            text,
            "{} more failures of jobs: at most {LINES_MAX} per second are reported here; \
             --format jsonl has all of them",
            std::mem::take(&mut self.withheld)
        );
        Some(text)
    }

    /// A line about a job, if the limit admits it, after the number of lines withheld before it.
    fn admit(&mut self, now: Duration, line: impl FnOnce() -> Option<String>) -> Option<String> {
        let before = self.take_withheld(now);
        if self.since + SECOND <= now {
            (self.since, self.lines) = (now, 0);
        }
        if self.lines >= LINES_MAX {
            self.withheld += 1;
            return None;
        }
        self.lines += 1;
        line().map(|line| before.unwrap_or_default() + &line)
    }

    fn note_death(&mut self, attempt: &Attempt) {
        if !matches!(attempt.end, AttemptEnd::Ok | AttemptEnd::Error(_) | AttemptEnd::Ran(_)) {
            self.reported = Some(attempt.worker);
        }
    }

    /// Whether the line about a job has said everything about its worker's end.
    fn is_reported(&self, ended: &Ended, settings: &Settings) -> bool {
        let goes_on = match ended.next {
            Next::Restart(delay) => delay.is_zero(),
            Next::Replaced | Next::Done => true,
            Next::NotNeeded | Next::GaveUp => false,
        };
        let hint = narrate::limit_hint(ended, &settings.program.limits);
        self.reported == Some(ended.worker) && goes_on && hint.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::job::Payload;

    fn outcome(end: JobEnd) -> Outcome {
        let payload = Payload::copy(b"");
        let (last, earlier, again) = (None, Vec::new(), false);
        Outcome { id: 1, place: 1, position: 1, payload, end, last, earlier, again }
    }

    #[test]
    fn a_thousand_lines_a_second_pass_and_the_others_are_counted() {
        let mut narrator = Narrator::default();
        let failed = outcome(JobEnd::TooLong { bytes: 9, cap: 8 });
        let at = Duration::from_millis;
        let lines_of = |narrator: &mut Narrator, now, count| {
            (0..count).filter_map(|_| narrator.outcome(at(now), &failed)).collect::<Vec<_>>()
        };
        assert_eq!(lines_of(&mut narrator, 100, 1500).len(), 1000);
        assert_eq!((narrator.due(), narrator.take_withheld(at(900))), (Some(SECOND), None));
        assert_eq!(narrator.outcome(at(950), &outcome(JobEnd::NotRun)), None);
        let count = narrator.take_withheld(at(1000)).unwrap();
        assert!(count.starts_with("supervisor: 500 more failures of jobs: "), "{count}");
        assert_eq!((narrator.due(), narrator.take_withheld(at(1000))), (None, None));
        assert_eq!(lines_of(&mut narrator, 1000, 1001).len(), 1000);
        let lines = lines_of(&mut narrator, 2500, 1);
        assert!(lines[0].starts_with("supervisor: 1 more failures of jobs: "), "{lines:?}");
        assert_eq!(lines[0].lines().count(), 2);
    }
}
