//! How durable records are, and what a crash of the supervisor means for the jobs that were running.

/// When records are synced to disk.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Sync {
    /// Each batch of records has a commit of its own, which is synced. A power loss loses no
    /// reported outcome.
    Always,
    /// The same guarantee, but batches that arrive within a few milliseconds share a commit.
    #[default]
    Batch,
    /// Records are never synced. They survive a crash of the supervisor, but not a power loss.
    Off,
}

impl Sync {
    /// Name of the mode on the command line and in the file.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::Batch => "batch",
            Self::Off => "off",
        }
    }
}

/// What becomes of a job that may have been running when the supervisor died.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum OnLost {
    /// The job runs again.
    #[default]
    Rerun,
    /// The job has failed, since it must not be done twice.
    Fail,
}
