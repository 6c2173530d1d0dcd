//! Where is it recorded what becomes of jobs?

use std::{collections::BTreeMap, path::PathBuf};

/// A file that a run survives in, and is continued from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Journal {
    /// The file.
    pub file: PathBuf,
    /// When what it holds is certain to survive.
    pub sync: Sync,
    /// Whether what failed before is run again.
    pub retry_failed: bool,
    /// What becomes of jobs that ran when the supervisor died.
    pub on_lost: OnLost,
    /// Whether it may be continued by another program, or under other rules.
    pub accepts_change: bool,
    /// All jobs are this one of the journal, which is run again.
    pub only: Option<u64>,
    /// What was typed, by which the next run is known for the same: the program's words, and what
    /// was set, by the names users know.
    pub program: Vec<String>,
    /// See above.
    pub set: BTreeMap<String, String>,
}

/// When what is recorded is certain to survive, and what.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Sync {
    /// Each batch is committed by itself and synced: a power cut loses nothing that was settled.
    Always,
    /// The same, but for that batches of a few milliseconds share a commit.
    #[default]
    Batch,
    /// Nothing is synced: what was recorded survives us, and not a power cut.
    Off,
}

impl Sync {
    /// Its name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Batch => "batch",
            Self::Off => "off",
        }
    }
}

/// What becomes of a job that ran when its supervisor died.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnLost {
    /// It is run again.
    #[default]
    Rerun,
    /// It has failed: it may have done what must not be done twice.
    Fail,
}
