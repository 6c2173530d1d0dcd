//! Gives jobs to a run and reads how they ended.

use std::{
    ffi::OsStr,
    fs::File,
    io::{PipeWriter, Write, pipe},
};

use super::{Finished, Run, Running, Value, fixture, tap};

/// Executes `vile` the first time and the other program after that. The file `lives`, which
/// [`reformed`] creates, remembers the first time.
const REFORMED: &str = "[ -s lives ] && exec \"$0\"; echo 1 > lives; exec \"$@\"";

/// A run of one worker whose first generation is `vile` in this mode, and whose others are the
/// fixture `kind`.
pub(crate) fn reformed(mode: &[&str], kind: &str) -> Run {
    let (kind, vile) = (fixture(kind), fixture("vile"));
    let run = Run::of(["sh", "-c", REFORMED, &kind, &vile].iter().chain(mode));
    run.scratch.file("lives", "", 0o644);
    run.with("--workers 1").jsonl()
}

impl Run {
    /// A run of a fixture that takes jobs.
    pub(crate) fn worker(name: &str) -> Self {
        // Panics print no backtrace.
        Self::of([fixture(name)]).with("--env RUST_BACKTRACE=0")
    }

    /// Passes jobs on the command line.
    pub(crate) fn given<S: AsRef<OsStr>>(mut self, jobs: impl IntoIterator<Item = S>) -> Self {
        self.program.push(":::".into());
        self.program.extend(jobs.into_iter().map(|job| job.as_ref().into()));
        self
    }

    /// Passes jobs in a file.
    pub(crate) fn fed(self, content: impl AsRef<[u8]>) -> Self {
        let path = self.scratch.file("jobs", content, 0o644);
        self.option("-a", path)
    }

    /// Passes jobs on standard input, all available from the start.
    pub(crate) fn piped(self, content: impl AsRef<[u8]>) -> Self {
        let path = self.scratch.file("stdin", content, 0o644);
        self.with("-a -").stdin(File::open(path).unwrap())
    }

    /// Passes jobs on standard input as the test writes them.
    pub(crate) fn fed_live(self) -> (Self, Feed) {
        let (reader, writer) = pipe().unwrap();
        (self.with("-a -").stdin(reader), Feed(writer))
    }
}

/// The writing end of a run's standard input, closed when dropped.
pub(crate) struct Feed(PipeWriter);

impl Feed {
    pub(crate) fn push(&mut self, job: &str) {
        self.0.write_all(format!("{job}\n").as_bytes()).unwrap();
    }
}

impl Running {
    /// Waits for the record of a job.
    pub(crate) fn job(&self, id: u64) -> Value {
        let is_it = |record: &Value| record["type"] == "job" && record["id"] == id;
        let find = |text: &str| tap::records(text).into_iter().find(is_it);
        self.stdout.until(&format!("job {id}"), find)
    }

    /// Waits until some worker has written this line, and returns its record.
    pub(crate) fn printed(&self, line: &str) -> Value {
        let is_it = |record: &Value| record["type"] == "output" && record["line"] == line;
        let find = |text: &str| tap::records(text).into_iter().find(is_it);
        self.stdout.until(&format!("a worker prints {line:?}"), find)
    }
}

impl Finished {
    /// The records of jobs in the order of their IDs; each job must have exactly one.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let mut jobs = self.records("job");
        jobs.sort_by_key(|job| job["id"].as_u64());
        for (job, id) in jobs.iter().zip(1u64..) {
            assert_eq!(job["id"], id, "a job is missing, or there twice: {job}");
        }
        jobs
    }

    /// The status of each job.
    pub(crate) fn statuses(&self) -> Vec<String> {
        self.jobs().iter().map(|job| job["status"].as_str().unwrap().into()).collect()
    }

    /// The summary line.
    pub(crate) fn summary(&self) -> &str {
        let is_it = |line: &&str| line.contains(" jobs: ") || line.starts_with("1 job: ");
        self.stderr.lines().rfind(is_it).unwrap_or_else(|| panic!("no summary: {}", self.stderr))
    }
}

/// The cause of each attempt of a job; `ok` for one that succeeded.
pub(crate) fn causes(job: &Value) -> Vec<String> {
    let attempts = job["attempts"].as_array().unwrap();
    for (attempt, number) in attempts.iter().zip(1u64..) {
        assert_eq!(attempt["attempt"], number, "{job}");
    }
    let cause = |attempt: &Value| attempt["cause"].as_str().unwrap_or("ok").to_owned();
    attempts.iter().map(cause).collect()
}

/// Whether the job was done at its first attempt.
pub(crate) fn is_untouched(job: &Value) -> bool {
    job["status"] == "ok" && causes(job) == ["ok"]
}
