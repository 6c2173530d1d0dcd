//! What happened to each job, from all ledgers?

use std::{collections::BTreeMap, fmt};

use crate::{
    books::{Attempt, Books, Shown, Witnessed},
    planted::Planted,
};

/// All that the ledgers say of a job.
#[derive(Debug, Default)]
pub(crate) struct Story<'a> {
    /// `None` where nobody submitted it.
    pub(crate) planted: Option<Planted>,
    pub(crate) witnessed: Vec<&'a Witnessed>,
    /// How often the journal has it.
    pub(crate) rows: usize,
    pub(crate) attempts: Vec<&'a Attempt>,
    pub(crate) shown: Vec<&'a Shown>,
}

/// The story of each job that any ledger names.
pub(crate) fn stories(books: &Books) -> BTreeMap<u64, Story<'_>> {
    let mut stories = BTreeMap::<u64, Story<'_>>::new();
    for (job, planted) in &books.submitted {
        stories.entry(*job).or_default().planted = Some(*planted);
    }
    for line in &books.witnessed {
        stories.entry(line.job).or_default().witnessed.push(line);
    }
    for job in &books.journal.jobs {
        stories.entry(*job).or_default().rows += 1;
    }
    for attempt in &books.journal.attempts {
        stories.entry(attempt.job).or_default().attempts.push(attempt);
    }
    for record in &books.shown {
        stories.entry(record.job).or_default().shown.push(record);
    }
    stories
}

impl<'a> Story<'a> {
    /// The attempts that settled it: one, if all is well.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().copied().filter(|attempt| attempt.settles.is_some())
    }

    pub(crate) fn starts(&self) -> impl Iterator<Item = &'a Witnessed> {
        self.witnessed.iter().copied().filter(|line| !line.is_end)
    }

    /// Whether the job itself says that this process began it, or ended it.
    pub(crate) fn has_witness(&self, pid: i32, is_end: bool) -> bool {
        self.witnessed.iter().any(|line| line.pid == pid && line.is_end == is_end)
    }
}

/// Ledger by ledger.
impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let planted = self.planted.map_or("nothing: nobody did", Planted::name);
        writeln!(f, "    submitted   {planted}")?;
        for Witnessed { is_end, attempt, pid, supervisor, .. } in self.witnessed.iter().copied() {
            let what = if *is_end { "end  " } else { "start" };
            writeln!(f, "    witnessed   {what} attempt {attempt}, PID {pid} of {supervisor}")?;
        }
        for Attempt { run, number, pid, cause, settles, .. } in self.attempts.iter() {
            let (cause, settles) = (cause.as_deref(), settles.as_deref());
            let cause = cause.unwrap_or("has no end");
            let settles = settles.map_or(String::new(), |settles| format!(", settles: {settles}"));
            writeln!(
                f,
                "    journal     run {run}, attempt {number}, PID {pid}: {cause}{settles}"
            )?;
        }
        for Shown { status, again, .. } in self.shown.iter().copied() {
            let again = if *again { ", marked as repeated" } else { "" };
            writeln!(f, "    put out     {status}{again}")?;
        }
        Ok(())
    }
}
