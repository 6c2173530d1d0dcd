//! A runtime directory, and requests to the runs in it.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use super::{Run, SUPERVISOR, Value, files::Scratch, until};

/// A runtime directory of this test alone.
pub(crate) struct RuntimeDir(pub(crate) Scratch);

impl RuntimeDir {
    pub(crate) fn new() -> Self {
        Self(Scratch::new())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.0.path().join("runs")
    }

    /// Makes a run use this runtime directory.
    pub(crate) fn run(&self, run: Run) -> Run {
        run.under(["env", &format!("SUPERVISOR_RUNTIME_DIR={}", self.path().display())])
    }

    pub(crate) fn request(&self, words: &[&str]) -> Output {
        let mut command = Command::new(SUPERVISOR);
        command.args(words).env("SUPERVISOR_RUNTIME_DIR", self.path()).stdin(Stdio::null());
        command.output().unwrap()
    }

    /// The stdout of a request that must succeed.
    pub(crate) fn output(&self, words: &[&str]) -> String {
        let output = self.request(words);
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {error}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The stderr of a request that must fail with one line.
    pub(crate) fn refusal(&self, words: &[&str]) -> String {
        let output = self.request(words);
        assert_eq!(output.status.code(), Some(1), "{words:?}");
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }

    pub(crate) fn snapshot(&self) -> Value {
        serde_json::from_str(&self.output(&["ps", "--run", "it", "--format", "jsonl"])).unwrap()
    }

    /// The ID of a running job.
    pub(crate) fn running(&self) -> String {
        let snapshot = self.snapshot();
        let workers = snapshot["workers"].as_array().unwrap().iter();
        let mut jobs = workers.filter_map(|worker| worker["job"]["id"].as_u64());
        jobs.next().unwrap().to_string()
    }

    pub(crate) fn file(&self, kind: &str) -> Option<PathBuf> {
        let mut paths = fs::read_dir(self.path()).ok()?.flatten().map(|entry| entry.path());
        paths.find(|path| path.extension().is_some_and(|found| found == kind))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.file("sock").unwrap()
    }

    pub(crate) fn wait_for_run(&self) {
        // A run creates this file last; it must be complete.
        until("a run", || {
            let text = self.file("json").map(fs::read).and_then(Result::ok).unwrap_or_default();
            serde_json::from_slice::<Value>(&text).is_ok()
        });
    }
}
