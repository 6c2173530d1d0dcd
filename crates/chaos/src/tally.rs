//! Counts the faults that were injected and observed, for the table at the end.

use std::{collections::BTreeMap, fmt};

use crate::{
    books::Books,
    judge::{Kind, Violation, explains},
    story::stories,
};

/// The counts of all rounds.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    rounds: u64,
    runs: usize,
    jobs: usize,
    starts: usize,
    repeated: usize,
    faults: BTreeMap<String, Count>,
    violations: BTreeMap<Kind, usize>,
}

/// How often a fault was injected and observed. Not every fault can be observed: a signal may hit a
/// worker without a job, for example.
#[derive(Debug, Default)]
struct Count {
    injected: usize,
    seen: Option<usize>,
}

impl Tally {
    /// Counts a fault of the supervisor or its environment.
    pub(crate) fn inject(&mut self, what: &str) {
        self.faults.entry(what.into()).or_default().injected += 1;
    }

    /// Counts a fault that ended the run as it should.
    pub(crate) fn see(&mut self, what: &str) {
        *self.faults.entry(what.into()).or_default().seen.get_or_insert(0) += 1;
    }

    fn count(&mut self, what: String, injected: usize, seen: usize) {
        let count = self.faults.entry(what).or_default();
        count.injected += injected;
        *count.seen.get_or_insert(0) += seen;
    }

    pub(crate) fn add(&mut self, books: &Books, violations: &[Violation]) {
        self.rounds += 1;
        self.runs += books.starts;
        self.jobs += books.submitted.len();
        self.starts += books.witnessed.iter().filter(|line| !line.is_end).count();
        self.repeated += books.reported.iter().filter(|reported| reported.again).count();
        for (_, story) in stories(books) {
            let Some(planted) = story.planted else { continue };
            let is_seen = |cause: &str| cause.starts_with(planted.cause());
            let seen = story.attempts.iter().any(|a| a.cause.as_deref().is_some_and(is_seen));
            self.count(format!("job: {}", planted.name()), 1, seen.into());
        }
        for (pid, signal) in &books.signals {
            let is_seen = |cause: &str| explains(*signal, cause);
            let mut of_pid = books.journal.attempts.iter().filter(|attempt| attempt.pid == *pid);
            let seen = of_pid.any(|a| a.cause.as_deref().is_some_and(is_seen));
            self.count(format!("worker: {signal}"), 1, seen.into());
        }
        for violation in violations {
            *self.violations.entry(violation.kind).or_default() += 1;
        }
    }

    /// The number of injected faults. Jobs that only reply are not faults.
    fn faults(&self) -> usize {
        let fine = ["fine", "slow"].map(|name| format!("job: {name}"));
        let faults = self.faults.iter().filter(|(what, _)| !fine.contains(what));
        faults.map(|(_, count)| count.injected).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<32}{:>9}{:>9}", "fault", "injected", "seen")?;
        for (what, Count { injected, seen }) in &self.faults {
            let seen = seen.map_or_else(|| "-".into(), |seen| seen.to_string());
            writeln!(f, "{what:<32}{injected:>9}{seen:>9}")?;
        }
        let Self { rounds, runs, jobs, starts, repeated, .. } = self;
        writeln!(
            f,
            "{rounds} rounds, {runs} runs, {jobs} jobs, {starts} starts, {repeated} records \
             repeated, {} faults injected",
            self.faults()
        )?;
        let count = |kind| self.violations.get(&kind).copied().unwrap_or(0);
        let kinds: Vec<_> = Kind::ALL.map(|kind| format!("{kind} {}", count(kind))).into();
        write!(f, "{}", kinds.join(", "))
    }
}
