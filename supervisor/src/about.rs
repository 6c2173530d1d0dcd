//! What is a run, once and for all? And in which version is told what it does?

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

/// The version of what is told to other programs, in snapshots and in the stream of events: a number that grows when a field changes its meaning or
/// goes; new fields may come without.
pub const SCHEMA: u32 = 1;

/// What a run is, once and for all.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct About {
    /// A short name that it gave itself, by which it is asked.
    pub id: String,
    /// The name that it was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The process that was started, and takes signals: the warden.
    pub pid: u32,
    /// Its version.
    pub version: Cow<'static, str>,
    /// What it runs, as it was typed.
    pub title: String,
    /// When it began, in milliseconds since 1970.
    pub began_unix_ms: u64,
    /// How many slots.
    pub workers: u32,
    /// Whether it has jobs.
    pub has_jobs: bool,
    /// How many jobs there are in all, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}
