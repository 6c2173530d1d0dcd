//! What is left to do of a run that was recorded? Pure: what was read and what comes in, to what
//! becomes of each job.

use std::{collections::BTreeSet, fmt};

use super::{
    Header, Recorded, State,
    identity::{Digest, Known},
    sent::Ranges,
};
use text::escape::visible;

/// What a run is to do with a job.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It was never recorded: it is run, and has this number.
    New {
        /// Its number from now on.
        job: u64,
    },
    /// It is run under the number it has.
    Again {
        /// Its number.
        job: u64,
        /// How many of its attempts the supervisor's death cut short.
        lost: u32,
    },
    /// It has ended, and is not run.
    Settled {
        /// Its number.
        job: u64,
        /// How it ended.
        state: State,
        /// Whether its end may not have been put out: it is, marked as repeated.
        unsent: bool,
    },
}

/// How the jobs of an input and those of a journal compare.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Counts {
    /// Done: not run.
    pub done: u64,
    /// Failed or parked, and not to be tried again: not run.
    pub failed: u64,
    /// Begun or recorded before, and run.
    pub again: u64,
    /// Not in the journal: run.
    pub new: u64,
    /// In the journal, and not in the input any more.
    pub gone: u64,
}

/// `988 done, 12 new, 3 gone`.
impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {} gone", self.of_a_part(), self.gone)
    }
}

impl Counts {
    /// The same of an input that was not read to its end: what is gone of it is not known.
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

/// A journal's jobs, as an input is matched with them.
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
    /// Begins with what was recorded. `retry_failed` says that what failed is run again.
    #[must_use]
    pub fn new(mut recorded: Recorded, retry_failed: bool) -> Self {
        let known = Known::new(std::mem::take(&mut recorded.digests));
        let next = recorded.states.len() as u64 + 1;
        let is_fresh = recorded.states.is_empty();
        Self { known, recorded, retry_failed, is_fresh, next, counts: Counts::default() }
    }

    /// Whether there was nothing: all jobs are new.
    #[must_use]
    pub fn is_fresh(&self) -> bool {
        self.is_fresh
    }

    /// What becomes of the next job of the input.
    pub fn next(&mut self, digest: &Digest) -> Turn {
        let Some(job) = self.known.take(digest) else {
            self.counts.new += 1;
            self.next += 1;
            return Turn::New { job: self.next - 1 };
        };
        let state = self.recorded.state(job).unwrap_or_default();
        if self.is_run(state) {
            self.counts.again += 1;
            return Turn::Again { job, lost: self.lost(job) };
        }
        *(if state == State::Ok { &mut self.counts.done } else { &mut self.counts.failed }) += 1;
        Turn::Settled { job, state, unsent: !self.recorded.sent.contains(job) }
    }

    /// How they compare, as far as the input was looked at.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts { gone: self.counts.gone + self.known.left(), ..self.counts }
    }

    /// Begins anew with the input, which was only looked at.
    pub fn rewind(&mut self) {
        self.known.put_back();
        self.next = self.recorded.states.len() as u64 + 1;
        self.counts = Counts::default();
    }

    /// The jobs whose end may not have been put out, in order, whether they are in the input or
    /// not; not those that are run again, which come to another end.
    pub fn unsent(&self) -> impl Iterator<Item = u64> {
        (1..=self.recorded.states.len() as u64).filter(|job| self.is_unsent(*job))
    }

    /// The input has ended: those of them that were not in it, in order. What was known of jobs is
    /// let go of; nothing but the counts and whether it is fresh is to be asked from now on.
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

    /// The jobs whose end was put out.
    #[must_use]
    pub fn sent(&self) -> &Ranges {
        &self.recorded.sent
    }

    /// Those of the journal that were not in the input, in no order.
    pub fn gone(&self) -> impl Iterator<Item = u64> {
        self.known.rest()
    }

    fn is_run(&self, state: State) -> bool {
        match state {
            // `Running` is not left behind by whoever begins a run.
            State::Waiting | State::Running => true,
            State::Failed | State::Crashed => self.retry_failed,
            State::Ok => false,
        }
    }

    fn lost(&self, job: u64) -> u32 {
        self.recorded.lost.get(&job).copied().unwrap_or(0)
    }
}

/// Something that is not as it was in the run before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// What: `program`, or a setting by the name users know.
    pub name: String,
    /// What it was; `None` where it was not set.
    pub before: Option<String>,
    /// What it is.
    pub now: Option<String>,
}

/// `--timeout: was 30s, is not set`.
impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| {
            value.as_ref().map_or_else(|| "not set".into(), |value| visible(value.as_bytes()))
        };
        write!(f, "{}: was {}, is {}", self.name, shown(&self.before), shown(&self.now))
    }
}

/// The run is not the one that was recorded.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "the journal was kept of another run:{}\nrun it as before, name another file, or go on by \
     --accept-change",
    listed(.0)
)]
pub struct Changed(pub Vec<Difference>);

fn listed(differences: &[Difference]) -> String {
    let lines: Vec<_> = differences.iter().map(|d| format!("\n  {d}")).collect();
    lines.concat()
}

/// In what a run differs from the one before it, in the order of names.
#[must_use]
pub fn differences(before: &Header, now: &Header) -> Vec<Difference> {
    let words = |words: &[String]| Some(format!("{words:?}"));
    let mut all = vec![("program", words(&before.program), words(&now.program))];
    // Of an interpreter's script it is the interpreter's, and says nothing; that of another file
    // at the same place is a change.
    if before.program == now.program {
        let digest = |header: &Header| header.digest.map(|digest| digest.to_string());
        all.push(("the program's file", digest(before), digest(now)));
    }
    let names: BTreeSet<_> = before.settings.keys().chain(now.settings.keys()).collect();
    let setting = |header: &Header, name: &str| header.settings.get(name).cloned();
    all.extend(
        names.into_iter().map(|name| (name.as_str(), setting(before, name), setting(now, name))),
    );
    all.into_iter()
        .filter(|(_, before, now)| before != now)
        .map(|(name, before, now)| Difference { name: name.into(), before, now })
        .collect()
}

/// Whether a run may continue the one before it: with what changed, where that is accepted.
///
/// # Errors
/// What changed, where it is not.
pub fn compare(before: &Header, now: &Header, accepts: bool) -> Result<Vec<Difference>, Changed> {
    let found = differences(before, now);
    if found.is_empty() || accepts { Ok(found) } else { Err(Changed(found)) }
}
