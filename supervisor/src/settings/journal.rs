//! Settings of the journal of a run.

#[cfg(feature = "journal")]
pub use journal::{OnLost, Sync};

/// A file in which a run is recorded, and from which it can be continued.
#[cfg(feature = "journal")]
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Journal {
    /// Path of the file.
    pub file: std::path::PathBuf,
    /// When records are synced to disk.
    pub sync: Sync,
    /// Whether to run jobs again that failed before.
    pub retry_failed: bool,
    /// What becomes of jobs that may have been running when the supervisor died.
    pub on_lost: OnLost,
    /// Whether the run may continue with another program or other settings.
    pub accepts_change: bool,
    /// If set, the run consists of this one job of the journal.
    pub only: Option<u64>,
    /// Words of the program as they were typed, which identify the run when it is continued.
    pub program: Vec<String>,
    /// Options that decide how jobs end, by name; they identify the run, too.
    pub set: std::collections::BTreeMap<String, String>,
}

/// Has no value, since a build without the feature `journal` keeps no journals.
#[cfg(not(feature = "journal"))]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Journal {}
