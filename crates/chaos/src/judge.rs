//! Do the ledgers agree? Pure.

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

/// A job whose worker ended so many times through no fault of its own is parked.
const RETURNS_MAX: usize = 5;

/// A start that was recorded, and taken back: no attempt.
const NOT_BEGUN: &str = "not begun";

/// What must never be.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Kind {
    /// A job that was submitted, and has no end, or one that nobody was told of.
    Lost,
    /// A job, an attempt or an end that never was.
    Phantom,
    /// A job with two ends.
    Twice,
    /// More starts than there were reasons for.
    Starts,
    /// A cause that is not what was planted, nor what was done to its worker.
    Blame,
    /// The supervisor itself did what it should not.
    Conduct,
}

/// One of these.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Violation {
    pub(crate) kind: Kind,
    /// The job it befell, if it is about one.
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

/// All that does not agree.
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

/// Of one without an end nobody knows more than that it is lost.
fn cause(attempt: &Attempt) -> &str {
    attempt.cause.as_deref().unwrap_or("lost")
}

/// Whether this signal of ours explains that a worker ended so.
pub(crate) fn explains(signal: Signal, cause: &str) -> bool {
    match signal {
        Signal::SIGKILL | Signal::SIGTERM => cause == "outside",
        Signal::SIGSEGV | Signal::SIGABRT => cause == "signal",
        // It stopped for longer than it had.
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
        let Story { planted, rows, attempts, shown, .. } = self.story;
        if planted.is_none() {
            return Vec::new();
        }
        let is_open = attempts.iter().any(|attempt| attempt.cause.is_none());
        said([
            (*rows == 0, "the journal does not have it"),
            (self.story.ends().next().is_none(), "it was never settled"),
            (is_open, "an attempt has no end"),
            (shown.is_empty(), "its end was never put out"),
        ])
    }

    fn phantom(&self) -> Vec<String> {
        let story = self.story;
        let is_witnessed = |attempt: &Attempt| match cause(attempt) {
            "ok" | "error" | "panic" => story.has_witness(attempt.pid, true),
            // What was done to its worker may have come before its first line.
            cause if self.is_planted(cause) && !self.was_done(attempt.pid, cause) => {
                story.has_witness(attempt.pid, false)
            }
            _ => true,
        };
        let settled = story.ends().last().and_then(|end| end.settles.as_deref());
        let contradicts = story.shown.iter().any(|shown| settled != Some(&shown.status));
        let last = self.books.journal.runs.len();
        let is_repeated =
            story.ends().any(|end| end.run == last) && story.shown.iter().any(|shown| shown.again);
        said([
            (story.planted.is_none(), "nobody submitted it"),
            (
                !story.attempts.iter().all(|a| is_witnessed(a)),
                "an attempt that it knows nothing of",
            ),
            (contradicts, "what was put out is not what the journal says"),
            (is_repeated, "its end is marked as repeated, and nobody died since"),
        ])
    }

    fn twice(&self) -> Vec<String> {
        let story = self.story;
        let first_shown = story.shown.iter().filter(|shown| !shown.again).count();
        // Where its supervisor stands among those of the journal.
        let run = |pid| self.books.journal.runs.iter().rposition(|run| *run == pid);
        let settled = story.ends().next().map(|end| end.run);
        let began_later = story.starts().any(|start| {
            settled.zip(run(start.supervisor)).is_some_and(|(settled, run)| run + 1 > settled)
        });
        said([
            (story.rows > 1, "the journal has it twice"),
            (story.ends().count() > 1, "it was settled more than once"),
            (first_shown > 1, "its end was put out more than once, unmarked"),
            (began_later, "it was begun in a later run than the one that settled it"),
        ])
    }

    /// One, one more for each attempt after which the journal has another, and one more for each
    /// time that the supervisor died, unless a job that may have run then is not begun again.
    fn starts(&self) -> Vec<String> {
        let is_retried =
            |a: &Attempt| a.settles.is_none() && !matches!(cause(a), "lost" | NOT_BEGUN);
        let retries = self.story.attempts.iter().filter(|attempt| is_retried(attempt)).count();
        let may_rerun = !self.books.rules.lost_fails;
        let deaths = if may_rerun { self.books.starts.saturating_sub(1) } else { 0 };
        let (starts, most) = (self.story.starts().count(), 1 + retries + deaths);
        let what = format!("{starts} starts, of which {retries} retries and {deaths} deaths of");
        let what = format!("{what} the supervisor explain {most} at most");
        said([(starts > most, what.as_str())])
    }

    fn blame(&self) -> Vec<String> {
        let story = self.story;
        let mut found: Vec<_> = story.attempts.iter().filter_map(|a| self.unexplained(a)).collect();
        let Some(end) = story.ends().next() else { return found };
        // The budgets are those of a run.
        let of_run = || story.attempts.iter().filter(|attempt| attempt.run == end.run);
        let count = |class| of_run().filter(|a| Class::of(a) == class).count();
        let returns = story.attempts.iter().filter(|a| Class::of(a) == Class::Returned).count();
        let (failures, crashes) = (count(Class::Failed), count(Class::Crashed));
        let rules = self.books.rules;
        let follows = match (end.settles.as_deref(), Class::of(end)) {
            (Some("ok"), Class::Ok) => true,
            (Some("failed"), Class::Failed) => failures == rules.retries + 1,
            (Some("failed"), Class::Returned) => rules.lost_fails && cause(end) == "lost",
            (Some("crashed"), Class::Crashed) => crashes == rules.crash_retries + 1,
            (Some("crashed"), Class::Returned) => returns >= RETURNS_MAX,
            _ => false,
        };
        if !follows {
            let settles = end.settles.as_deref().unwrap_or("nothing");
            found.push(format!(
                "`{settles}` does not follow from {failures} failures, {crashes} crashes and \
                 {returns} ends that were no fault of its own"
            ));
        }
        found
    }

    fn is_planted(&self, cause: &str) -> bool {
        let planted = self.story.planted.map(Planted::cause);
        planted.is_some_and(|planted| cause.starts_with(planted))
    }

    /// Whether it is what we did to that worker.
    fn was_done(&self, pid: i32, cause: &str) -> bool {
        let signals = self.signals.get(&pid);
        signals.is_some_and(|all| all.iter().any(|signal| explains(*signal, cause)))
    }

    fn unexplained(&self, attempt: &Attempt) -> Option<String> {
        let cause = cause(attempt);
        let was_interrupted = attempt.run < self.books.journal.runs.len();
        let is_explained = match cause {
            // Unless the worker got it once more, which its supervisor did not live to record.
            NOT_BEGUN => was_interrupted || !self.story.has_witness(attempt.pid, false),
            "lost" => was_interrupted,
            stopped if stopped.starts_with("asked to stop") => was_interrupted,
            _ => self.is_planted(cause) || self.was_done(attempt.pid, cause),
        };
        let planted = self.story.planted.map_or("nothing", Planted::name);
        (!is_explained)
            .then(|| format!("planted was {planted}, and PID {} is told as {cause}", attempt.pid))
    }
}

/// What an attempt spends.
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

fn said<const N: usize>(all: [(bool, &str); N]) -> Vec<String> {
    all.into_iter().filter(|(is_so, _)| *is_so).map(|(_, what)| what.into()).collect()
}

#[cfg(test)]
mod tests;
