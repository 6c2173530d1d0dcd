//! Collects what all ledgers say about each job.

use std::{collections::BTreeMap, fmt};

use crate::{
    books::{Attempt, Books, Reported, Witnessed},
    planted::Planted,
};

/// Everything that the ledgers say about a job.
#[derive(Debug, Default)]
pub(crate) struct Story<'a> {
    /// The planted behaviour; `None` if the job was never submitted.
    pub(crate) planted: Option<Planted>,
    pub(crate) witnessed: Vec<&'a Witnessed>,
    /// The number of rows that the journal has for the job.
    pub(crate) rows: usize,
    pub(crate) attempts: Vec<&'a Attempt>,
    pub(crate) reported: Vec<&'a Reported>,
}

/// The story of every job that occurs in any ledger.
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
    for record in &books.reported {
        stories.entry(record.job).or_default().reported.push(record);
    }
    stories
}

impl<'a> Story<'a> {
    /// The attempts that settled the job. There should be one.
    pub(crate) fn ends(&self) -> impl Iterator<Item = &'a Attempt> {
        self.attempts.iter().copied().filter(|attempt| attempt.settles.is_some())
    }

    pub(crate) fn starts(&self) -> impl Iterator<Item = &'a Witnessed> {
        self.witnessed.iter().copied().filter(|line| !line.is_end)
    }

    /// Whether the job witnessed its start or its end in this process.
    pub(crate) fn has_witness(&self, pid: i32, is_end: bool) -> bool {
        self.witnessed.iter().any(|line| line.pid == pid && line.is_end == is_end)
    }
}

/// Prints the story, ledger by ledger.
impl fmt::Display for Story<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let planted = self.planted.map_or("never", Planted::name);
        writeln!(f, "    submitted   {planted}")?;
        for Witnessed { is_end, attempt, pid, supervisor, .. } in self.witnessed.iter().copied() {
            let what = if *is_end { "end  " } else { "start" };
            writeln!(f, "    witnessed   {what} attempt {attempt}, PID {pid} of {supervisor}")?;
        }
        for Attempt { run, number, pid, cause, settles, .. } in self.attempts.iter() {
            let (cause, settles) = (cause.as_deref(), settles.as_deref());
            let cause = cause.unwrap_or("no end");
            let settles = settles.map_or(String::new(), |settles| format!(", settles: {settles}"));
            writeln!(
                f,
                "    journal     run {run}, attempt {number}, PID {pid}: {cause}{settles}"
            )?;
        }
        for Reported { status, again, .. } in self.reported.iter().copied() {
            let again = if *again { ", marked as repeated" } else { "" };
            writeln!(f, "    stdout      {status}{again}")?;
        }
        Ok(())
    }
}
