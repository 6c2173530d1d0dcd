//! What a run is: the facts about it that never change while it runs.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The version of the JSON that other programs read: snapshots, events and the control protocol.
/// It grows when a field changes its meaning or is removed; new fields may appear without that.
pub const SCHEMA: u32 = 1;

/// The facts about a run that never change while it runs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RunInfo {
    /// The short random id that the run chose for itself; `--run` accepts it.
    pub id: String,
    /// The name that the user gave it with `--name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The process that the user started and that takes signals: the warden.
    pub pid: u32,
    /// The supervisor's version.
    pub version: Cow<'static, str>,
    /// The program and its arguments, as the user typed them.
    pub title: String,
    /// When the run began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// The number of slots at the start.
    pub workers: u32,
    /// Whether its workers take jobs.
    pub has_jobs: bool,
    /// The number of jobs in its input, where that is known before they are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
