//! `--follow` turns appended lines into jobs at once, survives truncation, replacement and removal of
//! the file, and stays idle while nothing is appended.

use std::{
    io::Write,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Run, Running, Signal, Value, jobs::is_untouched, load, procfs};

/// Starts a run that follows a file with this content.
fn follow(text: &str) -> (Running, PathBuf) {
    let run = Run::worker("echo").with("--workers 2 --follow jobs.txt").jsonl();
    let path = run.scratch.file("jobs.txt", text, 0o644);
    (run.start(), path)
}

/// Runs a shell script on the file in another process.
fn shell(script: &str, path: &PathBuf) {
    let status = Command::new("sh").args(["-c", script]).arg(path).status().unwrap();
    assert!(status.success(), "{script}");
}

/// A running process that appends lines to the file.
struct Appender(Child);

impl Appender {
    fn new(path: &PathBuf) -> Self {
        let script = "while read -r line; do echo \"$line\" >> \"$0\"; done";
        let mut command = Command::new("sh");
        Self(command.args(["-c", script]).arg(path).stdin(Stdio::piped()).spawn().unwrap())
    }

    fn append(&mut self, line: &str) {
        self.0.stdin.as_mut().unwrap().write_all(format!("{line}\n").as_bytes()).unwrap();
    }
}

impl Drop for Appender {
    fn drop(&mut self) {
        // It exits at the end of its input.
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Waits for the reply to a job and checks it.
fn replied(run: &Running, id: u64, reply: &str) -> Value {
    let job = run.job(id);
    assert!(is_untouched(&job) && job["reply"] == reply, "{job}");
    job
}

/// Ends the run by SIGINT and checks that all jobs are done; returns its stderr.
fn ends_by_int(run: Running, jobs: usize) -> String {
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGINT), "{}", run.stderr);
    assert!(run.jobs().len() == jobs && run.jobs().iter().all(is_untouched), "{:?}", run.jobs());
    assert!(run.summary().starts_with(&format!("{jobs} jobs: {jobs} ok; ")), "{}", run.stderr);
    run.stderr
}

#[test]
fn existing_and_appended_lines_become_jobs_within_milliseconds() {
    let _quiet = load::quiet();
    let (run, path) = follow("one\ntwo\nhal");
    replied(&run, 2, "two");
    shell("echo f >> \"$0\"", &path);
    replied(&run, 3, "half");
    let mut appender = Appender::new(&path);
    let mut delays: Vec<_> = (4..=23)
        .map(|id| {
            // The clock starts before the append.
            let begun = Instant::now();
            appender.append(&format!("line {id}"));
            replied(&run, id, &format!("line {id}"));
            begun.elapsed()
        })
        .collect();
    drop(appender);
    delays.sort_unstable();
    println!("from append to record: {:?} at most, {:?} usually", delays[19], delays[10]);
    assert!(delays[10] < Duration::from_millis(100), "{delays:?}");
    assert!(delays[19] < Duration::from_secs(1), "{delays:?}");
    let stderr = ends_by_int(run, 23);
    assert!(stderr.contains("supervisor: SIGINT: stopping"), "{stderr}");
}

#[test]
fn an_idle_follower_does_not_wake_up() {
    let _quiet = load::quiet();
    let (run, path) = follow("one\n");
    replied(&run, 1, "one");
    // A supervisor that polled would never be idle for so long.
    procfs::until_idle(run.supervisor(), Duration::from_millis(1500));
    shell("echo two >> \"$0\"", &path);
    replied(&run, 2, "two");
    ends_by_int(run, 2);
}

/// Waits for a message about the file.
fn says(run: &Running, words: &str) {
    run.stderr.until(words, |text| text.contains(words).then_some(()));
}

#[test]
fn a_replaced_file_is_read_from_its_start() {
    let (run, path) = follow("one\n");
    replied(&run, 1, "one");
    for (id, next) in [(2, "two"), (4, "four")] {
        shell(&format!("echo {next} > \"$0.new\"; mv \"$0.new\" \"$0\""), &path);
        says(&run, "jobs.txt was replaced; reading the new one from its start");
        replied(&run, id, next);
        shell("echo more >> \"$0\"", &path);
        replied(&run, id + 1, "more");
    }
    let stderr = ends_by_int(run, 5);
    assert_eq!(stderr.matches("was replaced").count(), 2, "{stderr}");
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let (run, path) = follow("a first line\nand a second\n");
    replied(&run, 2, "and a second");
    shell(": > \"$0\"", &path);
    says(&run, "jobs.txt was truncated; reading it from its start");
    shell("echo new >> \"$0\"", &path);
    let job = replied(&run, 3, "new");
    assert_eq!(job["position"], 1, "its line in the file as it is now");
    ends_by_int(run, 3);
}

#[test]
fn a_removed_file_is_read_again_when_it_returns() {
    let (run, path) = follow("one\n");
    replied(&run, 1, "one");
    shell("rm \"$0\"", &path);
    says(&run, "jobs.txt was removed; waiting for its return");
    shell("echo two > \"$0\"", &path);
    replied(&run, 2, "two");
    says(&run, "jobs.txt is back; reading it from its start");
    ends_by_int(run, 2);
}

#[test]
fn a_running_job_finishes_when_the_run_is_stopped() {
    let run = Run::worker("work").with("--workers 2 --follow jobs.txt").jsonl();
    run.scratch.file("jobs.txt", "fine\nprint on; sleep 700\n", 0o644);
    let run = run.start();
    run.printed("on");
    ends_by_int(run, 2);
}
