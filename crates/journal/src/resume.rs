//! Decides what to do with each job when a run continues from a journal. Pure: the inputs are the
//! content of the journal and the jobs of the input.

use std::{collections::BTreeSet, fmt, path::PathBuf};

use text::escape::visible;

use super::{
    identity::{Digest, Known},
    record::Header,
    recorded::{Recorded, State},
    sent::Ranges,
};

/// What a run does with a job of its input.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Decision {
    /// The job is not in the journal: run it.
    New {
        /// Number that the job now has.
        job: u64,
    },
    /// The job is in the journal without a final outcome: run it.
    Again {
        /// Number of the job.
        job: u64,
        /// Number of its attempts that were lost when the supervisor died.
        lost: u32,
    },
    /// The job has an outcome: do not run it.
    Settled {
        /// Number of the job.
        job: u64,
        /// The outcome.
        state: State,
        /// Whether the outcome may not have been written; it is then written, marked as repeated.
        unsent: bool,
    },
}

/// Numbers of jobs, by how the input compares with the journal.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Jobs that have succeeded and are not run.
    pub done: u64,
    /// Jobs that have failed or are quarantined, and are not run.
    pub failed: u64,
    /// Jobs in the journal that are run.
    pub again: u64,
    /// Jobs that are not in the journal and are run.
    pub new: u64,
    /// Jobs in the journal that are not in the input.
    pub gone: u64,
}

/// Formats as in `988 done, 12 new, 3 gone`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} gone", self.of_a_part(), self.gone)
    }
}

impl Counts {
    /// Formats the counts without `gone`, which is unknown until the input has been read to its end.
    #[must_use]
    pub fn of_a_part(&self) -> String {
        let mut text = format!("{} done, ", self.done);
        for (count, what) in [(self.failed, "failed"), (self.again, "to run again")] {
            if count > 0 {
                text += &format!("{count} {what}, ");
            }
        }
        text + &format!("{} new", self.new)
    }
}

/// Matches the jobs of an input with those of a journal.
#[derive(Debug)]
pub struct Resume {
    known: Known,
    recorded: Recorded,
    retry_failed: bool,
    is_fresh: bool,
    next: u64,
    counts: Counts,
}

impl Resume {
    /// Starts with the content of a journal. With `retry_failed`, failed jobs are run again.
    #[must_use]
    pub fn new(mut recorded: Recorded, retry_failed: bool) -> Self {
        let known = Known::new(std::mem::take(&mut recorded.digests));
        let next = recorded.states.len() as u64 + 1;
        let is_fresh = recorded.states.is_empty();
        Self { known, recorded, retry_failed, is_fresh, next, counts: Counts::default() }
    }

    /// Whether the journal had no jobs, so that all jobs are new.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// Decides what to do with the next job of the input.
    pub fn next(&mut self, digest: &Digest) -> Decision {
        let Some(job) = self.known.take(digest) else {
            self.counts.new += 1;
            self.next += 1;
            return Decision::New { job: self.next - 1 };
        };
        let state = self.recorded.state(job).unwrap_or_default();
        if self.is_run(state) {
            self.counts.again += 1;
            return Decision::Again { job, lost: self.lost(job) };
        }
        *(if state == State::Ok { &mut self.counts.done } else { &mut self.counts.failed }) += 1;
        Decision::Settled { job, state, unsent: !self.recorded.sent.contains(job) }
    }

    /// Returns the counts for the part of the input that was read.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { gone: self.counts.gone + self.known.left(), ..self.counts }
    }

    /// Forgets the input read so far, so that it can be read again from the start.
    pub fn rewind(&mut self) {
        self.known.put_back();
        self.next = self.recorded.states.len() as u64 + 1;
        self.counts = Counts::default();
    }

    /// Returns the jobs whose outcome may not have been written, in order, whether or not they are
    /// in the input. Jobs that are run again are not among them, because they get a new outcome.
    pub fn unsent(&self) -> impl Iterator<Item = u64> {
        (1..=self.recorded.states.len() as u64).filter(|job| self.is_unsent(*job))
    }

    /// Ends the input. Returns the jobs that were not in it and whose outcome may not have been
    /// written, in order. Frees the memory of all jobs: only [`Self::counts`] and
    /// [`Self::is_fresh`] are meaningful afterwards.
    pub fn finish(&mut self) -> Vec<u64> {
        let mut unsent: Vec<u64> = self.gone().filter(|job| self.is_unsent(*job)).collect();
        unsent.sort_unstable();
        self.counts = self.counts();
        (self.known, self.recorded) = (Known::new(Vec::new()), Recorded::default());
        unsent
    }

    fn is_unsent(&self, job: u64) -> bool {
        let state = self.recorded.state(job).unwrap_or_default();
        state.is_settled() && !self.is_run(state) && !self.recorded.sent.contains(job)
    }

    /// Returns the jobs whose outcome has been written.
    #[must_use]
    pub fn sent(&self) -> &Ranges {
        &self.recorded.sent
    }

    /// Returns the jobs that were not in the input, in no particular order.
    pub fn gone(&self) -> impl Iterator<Item = u64> {
        self.known.rest()
    }

    fn is_run(&self, state: State) -> bool {
        match state {
            // Beginning a run turns `Running` into another state.
            State::Waiting | State::Unfinished | State::Running => true,
            State::Failed | State::Crashed => self.retry_failed,
            State::Ok => false,
        }
    }

    fn lost(&self, job: u64) -> u32 {
        self.recorded.lost.get(&job).copied().unwrap_or(0)
    }
}

/// The name of the setting that holds the directory in which the supervisor was started. Journals
/// of earlier versions lack it.
pub const DIRECTORY: &str = "directory";

/// A difference between a run and the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// `program`, or the name of an option.
    pub name: String,
    /// Value in the run before; `None` if it was not set.
    pub before: Option<String>,
    /// Value in this run; `None` if it is not set.
    pub now: Option<String>,
}

/// Formats as in `--timeout: was 30s, is not set`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "not set".into(), |value| visible(value.as_bytes()))
        };
        write!(f, "{}: was {}, is {}", self.name, shown(&self.before), shown(&self.now))
    }
}

/// The differences because of which a run may not continue from the journal.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the journal belongs to another run:{}\nrun it as before, name another file, or continue with \
     --accept-change",
    listed(.0)
)]
pub struct Changed(pub Vec<Difference>);

fn listed(differences: &[Difference]) -> String {
    let lines: Vec<_> = differences.iter().map(|d| format!("\n  {d}")).collect();
    lines.concat()
}

/// Returns the differences between a run and the one before it, ordered by name.
#[must_use]
pub fn differences(before: &Header, now: &Header) -> Vec<Difference> {
    let words = |words: &[String]| Some(format!("{words:?}"));
    let mut all = vec![("program", words(&before.program), words(&now.program))];
    // A digest only matters if the program has the same name: then its file has changed.
    if before.program == now.program {
        let digest = |header: &Header| header.digest.map(|digest| digest.to_string());
        all.push(("the program's file", digest(before), digest(now)));
    }
    if let Some((before, now)) = directory(before).zip(directory(now)) {
        let shown = |directory: PathBuf| Some(directory.to_string_lossy().into_owned());
        all.push((DIRECTORY, shown(before), shown(now)));
    }
    let names = before.settings.keys().chain(now.settings.keys());
    let names: BTreeSet<_> = names.filter(|name| *name != DIRECTORY).collect();
    let setting = |header: &Header, name: &str| header.settings.get(name).cloned();
    all.extend(
        names.into_iter().map(|name| (name.as_str(), setting(before, name), setting(now, name))),
    );
    all.into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(name, before, now)| Difference { name: name.into(), before, now })
        .collect()
}

/// The directory in which the jobs of a run are done: it gives relative names in them their meaning.
fn directory(header: &Header) -> Option<PathBuf> {
    let started_in = header.settings.get(DIRECTORY)?;
    let given = header.settings.get("--cwd").map_or("", String::as_str);
    // An absolute path replaces the one before it; an empty one would append a slash.
    Some(if given.is_empty() { started_in.into() } else { PathBuf::from(started_in).join(given) })
}

/// Checks that a run may continue the one before it, and returns the differences that were accepted.
///
/// # Errors
/// There are differences, and `accepts` is false.
pub fn compare(before: &Header, now: &Header, accepts: bool) -> Result<Vec<Difference>, Changed> {
    let found = differences(before, now);
    if found.is_empty() || accepts { Ok(found) } else { Err(Changed(found)) }
}
