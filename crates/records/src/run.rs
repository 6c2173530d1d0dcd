//! The facts about a run that do not change while it is in progress.

use std::{borrow::Cow, collections::BTreeMap};

use serde::{Deserialize, Serialize};

use crate::Millis;

/// The version of the external form. It is incremented when a field is removed or changes its
/// meaning, and stays the same when fields are added.
pub const SCHEMA: u32 = 1;

/// The facts about a run that do not change.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Debug)]
pub struct RunInfo {
    /// Short random id of the run, which `--run` accepts.
    pub id: String,
    /// Name given with `--name`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// The process that was started and takes signals: the warden.
    pub pid: u32,
    /// Version of the supervisor.
    pub version: Cow<'static, str>,
    /// The program and its arguments, as they were typed.
    pub title: String,
    /// Start of the run, since 1970.
    pub began_unix_ms: Millis,
    /// Number of slots at the start.
    pub workers: u32,
    /// Whether the run has jobs.
    pub has_jobs: bool,
    /// Number of all jobs, if it is known at the start.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub total: Option<u64>,
}

/// A run that a journal has recorded: a line of `journal show --format jsonl`.
#[derive(Clone, Serialize, Debug)]
pub struct JournalRun<'a> {
    /// Always `run`.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// Number of the run in the journal, from 1.
    pub run: u64,
    /// Start of the run, since 1970.
    pub began_unix_ms: Millis,
    /// End of the run, since 1970; absent if it is in progress or its supervisor died.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_unix_ms: Option<Millis>,
    /// Exit status of the supervisor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exit_status: Option<u8>,
    /// Process of the supervisor.
    pub pid: u32,
    /// Version of the supervisor.
    pub version: &'a str,
    /// The mode of `--sync`.
    pub sync: &'a str,
    /// The worker's program and arguments, or the words of the command.
    pub program: &'a [String],
    /// Digest of the program's file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Settings by the names of their options.
    pub settings: &'a BTreeMap<String, String>,
    /// Limits in force, by name.
    pub limits: BTreeMap<&'static str, u64>,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::json;

    #[test]
    fn golden_run_info() {
        let mut run = RunInfo {
            id: "k3f9".into(),
            name: Some("nightly".into()),
            pid: 4122,
            version: "0.1.0".into(),
            title: "./worker --fast".into(),
            began_unix_ms: Duration::from_micros(1_700_000_000_000_125).into(),
            workers: 4,
            has_jobs: true,
            total: Some(2000),
        };
        let golden = r#"{"id":"k3f9","name":"nightly","pid":4122,"version":"0.1.0","title":"./worker --fast","began_unix_ms":1700000000000.125,"workers":4,"has_jobs":true,"total":2000}"#;
        assert_eq!(serde_json::to_string(&run).unwrap(), golden);
        assert_eq!(serde_json::from_str::<RunInfo>(golden).unwrap(), run);
        (run.name, run.total) = (None, None);
        let golden = r#"{"id":"k3f9","pid":4122,"version":"0.1.0","title":"./worker --fast","began_unix_ms":1700000000000.125,"workers":4,"has_jobs":true}"#;
        assert_eq!(serde_json::to_string(&run).unwrap(), golden);
        assert_eq!(serde_json::from_str::<RunInfo>(golden).unwrap(), run);
    }

    #[test]
    fn golden_journal_run() {
        let settings = BTreeMap::from([("--retries".to_owned(), "2".to_owned())]);
        let mut run = JournalRun {
            kind: "run",
            run: 1,
            began_unix_ms: Duration::from_secs(1_700_000_000).into(),
            ended_unix_ms: Some(Duration::from_millis(1_700_000_002_500).into()),
            exit_status: Some(1),
            pid: 4122,
            version: "0.1.0",
            sync: "batch",
            program: &["./worker".into(), "\u{9b}x".into()],
            digest: Some("ab".into()),
            settings: &settings,
            limits: BTreeMap::from([("data", 64)]),
        };
        let golden = r#"{"type":"run","run":1,"began_unix_ms":1700000000000.0,"ended_unix_ms":1700000002500.0,"exit_status":1,"pid":4122,"version":"0.1.0","sync":"batch","program":["./worker","\u009bx"],"digest":"ab","settings":{"--retries":"2"},"limits":{"data":64}}"#;
        assert_eq!(json::line(&run).trim_end(), golden);
        (run.ended_unix_ms, run.exit_status, run.digest) = (None, None, None);
        let golden = r#"{"type":"run","run":1,"began_unix_ms":1700000000000.0,"pid":4122,"version":"0.1.0","sync":"batch","program":["./worker","\u009bx"],"settings":{"--retries":"2"},"limits":{"data":64}}"#;
        assert_eq!(json::line(&run).trim_end(), golden);
    }
}
