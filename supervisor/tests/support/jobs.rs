//! What tests of jobs share: how a run is given them, and how each ended.

use std::{
    ffi::OsStr,
    fs::File,
    io::{PipeWriter, Write, pipe},
};

use super::{Finished, Run, Running, Value, fixture, tap};

/// A worker whose first life is `vile` in this mode, and whose others are `kind`. It takes note
/// in a file of the run's, which [`reformed`] makes.
const REFORMED: &str = "[ -s lives ] && exec \"$0\"; echo 1 > lives; exec \"$@\"";

/// A run of one worker that is vile once, in its first life, and of the fixture `kind` after that.
pub(crate) fn reformed(mode: &[&str], kind: &str) -> Run {
    let (kind, vile) = (fixture(kind), fixture("vile"));
    let run = Run::of(["sh", "-c", REFORMED, &kind, &vile].iter().chain(mode));
    run.scratch.file("lives", "", 0o644);
    run.with("--workers 1").jsonl()
}

impl Run {
    /// Of a fixture that takes jobs.
    pub(crate) fn worker(name: &str) -> Self {
        // A panic shall not print half a screen.
        Self::of([fixture(name)]).with("--env RUST_BACKTRACE=0")
    }

    /// With these jobs on the command line.
    pub(crate) fn given<S: AsRef<OsStr>>(mut self, jobs: impl IntoIterator<Item = S>) -> Self {
        self.program.push(":::".into());
        self.program.extend(jobs.into_iter().map(|job| job.as_ref().into()));
        self
    }

    /// With a file of jobs.
    pub(crate) fn fed(self, content: impl AsRef<[u8]>) -> Self {
        self.scratch.file("jobs", content, 0o644);
        self.with("-a jobs")
    }

    /// With jobs on standard input, all there from the start.
    pub(crate) fn piped(self, content: impl AsRef<[u8]>) -> Self {
        let path = self.scratch.file("stdin", content, 0o644);
        self.with("-a -").stdin(File::open(path).unwrap())
    }

    /// With jobs on standard input, as the test writes them.
    pub(crate) fn asked(self) -> (Self, Asker) {
        let (reader, writer) = pipe().unwrap();
        (self.with("-a -").stdin(reader), Asker(writer))
    }
}

/// The other end of a run's standard input. Closed when dropped.
pub(crate) struct Asker(PipeWriter);

impl Asker {
    pub(crate) fn ask(&mut self, job: &str) {
        self.0.write_all(format!("{job}\n").as_bytes()).unwrap();
    }
}

impl Running {
    /// Waits for the record of this job.
    pub(crate) fn job(&self, id: u64) -> Value {
        let is_it = |record: &Value| record["type"] == "job" && record["id"] == id;
        let find = |text: &str| tap::records(text).into_iter().find(is_it);
        self.stdout.until(&format!("job {id}"), find)
    }

    /// Waits until some worker has put out this line; its record.
    pub(crate) fn said(&self, line: &str) -> Value {
        let is_it = |record: &Value| record["type"] == "output" && record["line"] == line;
        let find = |text: &str| tap::records(text).into_iter().find(is_it);
        self.stdout.until(&format!("a worker says {line:?}"), find)
    }
}

impl Finished {
    /// The records of jobs, in the order of their numbers, of which each has exactly one.
    pub(crate) fn jobs(&self) -> Vec<Value> {
        let mut jobs = self.records("job");
        jobs.sort_by_key(|job| job["id"].as_u64());
        for (job, id) in jobs.iter().zip(1u64..) {
            assert_eq!(job["id"], id, "a job is missing, or there twice: {job}");
        }
        jobs
    }

    /// How each job ended.
    pub(crate) fn statuses(&self) -> Vec<String> {
        self.jobs().iter().map(|job| job["status"].as_str().unwrap().into()).collect()
    }

    /// The line that sums up the jobs.
    pub(crate) fn summary(&self) -> &str {
        let is_it = |line: &&str| line.contains(" jobs: ") || line.starts_with("1 job: ");
        self.stderr.lines().rfind(is_it).unwrap_or_else(|| panic!("no summary: {}", self.stderr))
    }
}

/// Why each attempt of a job came to nothing, and `ok` for one that did not.
pub(crate) fn causes(job: &Value) -> Vec<String> {
    let attempts = job["attempts"].as_array().unwrap();
    for (attempt, number) in attempts.iter().zip(1u64..) {
        assert_eq!(attempt["attempt"], number, "{job}");
    }
    let cause = |attempt: &Value| attempt["cause"].as_str().unwrap_or("ok").to_owned();
    attempts.iter().map(cause).collect()
}

/// Done at the first attempt, as one whom nothing that befell others has touched.
pub(crate) fn is_untouched(job: &Value) -> bool {
    job["status"] == "ok" && causes(job) == ["ok"]
}
