//! Compares the ledgers and reports every contradiction. Pure: it reads nothing but [`Books`].

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use nix::sys::signal::Signal;

use crate::{
    books::{Attempt, Books},
    planted::Planted,
    story::{Story, stories},
};

/// The supervisor quarantines a job after this many worker deaths that were not the job's fault.
const RETURNS_MAX: usize = 5;

/// The cause of a start that was recorded and then retracted, which is not an attempt.
const NOT_BEGUN: &str = "not begun";

/// The kinds of contradiction.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A submitted job that was never settled, or whose outcome was never written.
    Lost,
    /// A job, attempt or outcome that never happened.
    Phantom,
    /// A job with two outcomes.
    Twice,
    /// More starts of a job than its retries and the supervisor's deaths explain.
    Starts,
    /// A cause that is neither the planted behaviour nor the harm done to the worker.
    Blame,
    /// Wrong behaviour of the supervisor itself.
    Conduct,
}

/// A contradiction between ledgers.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    /// The job that it concerns, if any.
    pub(crate) job: Option<u64>,
    pub(crate) what: String,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Lost, Self::Phantom, Self::Twice, Self::Starts, Self::Blame, Self::Conduct];
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Lost => "lost",
            Self::Phantom => "phantom",
            Self::Twice => "settled twice",
            Self::Starts => "starts without a reason",
            Self::Blame => "wrong blame",
            Self::Conduct => "misconduct",
        })
    }
}

/// Finds all contradictions in the books.
pub(crate) fn violations(books: &Books) -> Vec<Violation> {
    let mut signals = BTreeMap::<i32, BTreeSet<Signal>>::new();
    for (pid, signal) in &books.signals {
        signals.entry(*pid).or_default().insert(*signal);
    }
    let mut found = Vec::new();
    for (job, story) in stories(books) {
        let judge = Judge { books, signals: &signals, story: &story };
        let kinds = [
            (Kind::Lost, judge.lost()),
            (Kind::Phantom, judge.phantom()),
            (Kind::Twice, judge.twice()),
            (Kind::Starts, judge.starts()),
            (Kind::Blame, judge.blame()),
        ];
        found.extend(kinds.into_iter().flat_map(|(kind, whats)| {
            whats.into_iter().map(move |what| Violation { kind, job: Some(job), what })
        }));
    }
    found
}

/// The cause of an attempt. An attempt without an end counts as lost.
fn cause(attempt: &Attempt) -> &str {
    attempt.cause.as_deref().unwrap_or("lost")
}

/// Whether this signal, sent by this program, explains that cause of a worker's death.
pub(crate) fn explains(signal: Signal, cause: &str) -> bool {
    match signal {
        Signal::SIGKILL | Signal::SIGTERM => cause == "outside",
        Signal::SIGSEGV | Signal::SIGABRT => cause == "signal",
        // The worker was stopped past the job's time limit.
        Signal::SIGSTOP => cause == "timeout",
        _ => false,
    }
}

struct Judge<'a> {
    books: &'a Books,
    signals: &'a BTreeMap<i32, BTreeSet<Signal>>,
    story: &'a Story<'a>,
}

impl Judge<'_> {
    fn lost(&self) -> Vec<String> {
        let Story { planted, rows, attempts, reported, .. } = self.story;
        if planted.is_none() {
            return Vec::new();
        }
        let is_open = attempts.iter().any(|attempt| attempt.cause.is_none());
        violated([
            (*rows == 0, "the journal does not have it"),
            (self.story.ends().next().is_none(), "it was never settled"),
            (is_open, "an attempt has no end"),
            (reported.is_empty(), "its record was never written"),
        ])
    }

    fn phantom(&self) -> Vec<String> {
        let story = self.story;
        let is_witnessed = |attempt: &Attempt| match cause(attempt) {
            "ok" | "error" | "panic" => story.has_witness(attempt.pid, true),
            // Harm to the worker may have come before the job's first line.
            cause if self.is_planted(cause) && !self.was_inflicted(attempt.pid, cause) => {
                story.has_witness(attempt.pid, false)
            }
            _ => true,
        };
        let settled = story.ends().last().and_then(|end| end.settles.as_deref());
        let contradicts = story.reported.iter().any(|reported| settled != Some(&reported.status));
        let last = self.books.journal.runs.len();
        let is_repeated = story.ends().any(|end| end.run == last)
            && story.reported.iter().any(|reported| reported.again);
        violated([
            (story.planted.is_none(), "it was never submitted"),
            (
                !story.attempts.iter().all(|a| is_witnessed(a)),
                "the job did not witness one of its attempts",
            ),
            (contradicts, "a record on stdout contradicts the journal"),
            (is_repeated, "its record is marked as repeated, but no supervisor died since"),
        ])
    }

    fn twice(&self) -> Vec<String> {
        let story = self.story;
        let first_reported = story.reported.iter().filter(|reported| !reported.again).count();
        // The index of the supervisor with this process id among the journal's runs.
        let run = |pid| self.books.journal.runs.iter().rposition(|run| *run == pid);
        let settled = story.ends().next().map(|end| end.run);
        let began_later = story.starts().any(|start| {
            settled.zip(run(start.supervisor)).is_some_and(|(settled, run)| run + 1 > settled)
        });
        violated([
            (story.rows > 1, "the journal has it twice"),
            (story.ends().count() > 1, "it was settled more than once"),
            (first_reported > 1, "its record was written more than once, unmarked"),
            (began_later, "it started in a later run than the one that settled it"),
        ])
    }

    /// A job may start once, once more for each attempt after which it was retried, and once more
    /// for each death of the supervisor, unless lost jobs count as failed.
    fn starts(&self) -> Vec<String> {
        let is_retried =
            |a: &Attempt| a.settles.is_none() && !matches!(cause(a), "lost" | NOT_BEGUN);
        let retries = self.story.attempts.iter().filter(|attempt| is_retried(attempt)).count();
        let may_rerun = !self.books.rules.lost_fails;
        let deaths = if may_rerun { self.books.starts.saturating_sub(1) } else { 0 };
        let (starts, most) = (self.story.starts().count(), 1 + retries + deaths);
        let what = format!("{starts} starts, but {retries} retries and {deaths} deaths of");
        let what = format!("{what} the supervisor explain at most {most}");
        violated([(starts > most, what.as_str())])
    }

    fn blame(&self) -> Vec<String> {
        let story = self.story;
        let mut found: Vec<_> = story.attempts.iter().filter_map(|a| self.unexplained(a)).collect();
        let Some(end) = story.ends().next() else { return found };
        // Each run has its own retry budgets.
        let of_run = || story.attempts.iter().filter(|attempt| attempt.run == end.run);
        let count = |class| of_run().filter(|a| Class::of(a) == class).count();
        let returns = story.attempts.iter().filter(|a| Class::of(a) == Class::Returned).count();
        let (failures, crashes) = (count(Class::Failed), count(Class::Crashed));
        let rules = self.books.rules;
        let follows = match (end.settles.as_deref(), Class::of(end)) {
            (Some("ok"), Class::Ok) => true,
            (Some("failed"), Class::Failed) => failures == rules.retries + 1,
            // Lost with the supervisor, or interrupted by the end of the run.
            (Some("failed"), Class::Returned) => rules.lost_fails,
            (Some("crashed"), Class::Crashed) => crashes == rules.crash_retries + 1,
            (Some("crashed"), Class::Returned) => returns >= RETURNS_MAX,
            _ => false,
        };
        if !follows {
            let settles = end.settles.as_deref().unwrap_or("nothing");
            found.push(format!(
                "`{settles}` does not follow from {failures} failures, {crashes} crashes and \
                 {returns} deaths that were not its fault"
            ));
        }
        found
    }

    fn is_planted(&self, cause: &str) -> bool {
        let planted = self.story.planted.map(Planted::cause);
        planted.is_some_and(|planted| cause.starts_with(planted))
    }

    /// Whether a signal that this program sent to the worker explains the cause.
    fn was_inflicted(&self, pid: i32, cause: &str) -> bool {
        let signals = self.signals.get(&pid);
        signals.is_some_and(|all| all.iter().any(|signal| explains(*signal, cause)))
    }

    /// Whether a job that breaks its worker ended in this process.
    fn was_broken(&self, pid: i32) -> bool {
        let Books { submitted, witnessed, .. } = self.books;
        let breaks = |job| submitted.get(&job) == Some(&Planted::Breaks);
        witnessed.iter().any(|line| line.is_end && line.pid == pid && breaks(line.job))
    }

    fn unexplained(&self, attempt: &Attempt) -> Option<String> {
        let cause = cause(attempt);
        let was_interrupted = attempt.run < self.books.journal.runs.len();
        let is_explained = match cause {
            // A start that the supervisor died before recording may have happened as well.
            NOT_BEGUN => was_interrupted || !self.story.has_witness(attempt.pid, false),
            "lost" => was_interrupted,
            stopped if stopped.starts_with("asked to stop") => was_interrupted,
            "error" if self.was_broken(attempt.pid) => true,
            _ => self.is_planted(cause) || self.was_inflicted(attempt.pid, cause),
        };
        let planted = self.story.planted.map_or("nothing", Planted::name);
        (!is_explained).then(|| {
            format!(
                "the planted behaviour is {planted}, but PID {} is recorded as {cause}",
                attempt.pid
            )
        })
    }
}

/// The budget that an attempt uses up.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Ok,
    Failed,
    Crashed,
    Returned,
    None,
}

impl Class {
    fn of(attempt: &Attempt) -> Self {
        match cause(attempt) {
            "ok" => Self::Ok,
            "error" | "panic" | "timeout" => Self::Failed,
            "lost" | "outside" | "cpu limit" => Self::Returned,
            NOT_BEGUN => Self::None,
            stopped if stopped.starts_with("asked to stop") => Self::Returned,
            _ => Self::Crashed,
        }
    }
}

fn violated<const N: usize>(all: [(bool, &str); N]) -> Vec<String> {
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what.into()).collect()
}

#[cfg(test)]
mod tests;
