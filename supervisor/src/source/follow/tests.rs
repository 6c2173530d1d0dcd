//! Tests of followed files, on real files.

use std::{io::Write, time::Duration};

use tokio::{runtime::Runtime, time::timeout};

use super::*;
use crate::{
    settings::{JobSource, Separator},
    source::Source,
};

/// A followed file in a temporary directory.
struct Fixture {
    runtime: Runtime,
    source: Source,
    directory: PathBuf,
}

impl Fixture {
    fn new(name: &str, text: &str) -> Self {
        let name = format!("supervisor-follow-{}-{name}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        fs::write(directory.join("jobs.txt"), text).unwrap();
        let source = JobSource::Follow(directory.join("jobs.txt"));
        let source = Source::open(&source, Separator::Newline, 9).unwrap();
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        Self { runtime: runtime.enable_all().build().unwrap(), source, directory }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    fn append(&self, name: &str, text: &str) {
        let mut file = File::options().append(true).create(true).open(self.path(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    /// Reads as many jobs and notices as are expected, and compares them.
    fn expect(&mut self, expected: &[&str]) {
        assert_eq!(self.take(expected.len()), expected);
    }

    /// Reads at least this many jobs and notices.
    fn take(&mut self, count: usize) -> Vec<String> {
        let (mut came, runtime) = (Vec::new(), &self.runtime);
        let start = self.directory.to_str().unwrap().len() + 1;
        while came.len() < count {
            let next = async { timeout(Duration::from_secs(20), self.source.next()).await };
            match runtime.block_on(next).unwrap() {
                Batch::Jobs(jobs) => came.extend(jobs.iter().map(|job| {
                    let text = str::from_utf8(job.payload.as_bytes()).unwrap();
                    format!("{} {text}", job.position)
                })),
                Batch::TooLong { position, bytes } => {
                    came.push(format!("{position} has {bytes}"));
                }
                Batch::Notice(text) | Batch::Lost(text) => came.push(text[start..].into()),
                Batch::Failed(error) => came.push(error.to_string()[start..].into()),
                Batch::Ended => came.push("ended".into()),
            }
        }
        came
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

const REPLACED: &str = "jobs.txt was replaced; reading the new one from its start";
const BACK: &str = "jobs.txt is back; reading it from its start";
const TRUNCATED: &str = "jobs.txt was truncated; reading it from its start";
const REMOVED: &str = "jobs.txt was removed; waiting for its return";

#[test]
fn a_line_is_read_once_it_is_complete() {
    let mut stage = Fixture::new("append", "one\ntwo\nthr");
    stage.expect(&["1 one", "2 two"]);
    stage.append("jobs.txt", "ee\nfo");
    stage.expect(&["3 three"]);
    stage.append("jobs.txt", "u");
    stage.append("jobs.txt", "r\n\nmuch too long\n");
    stage.expect(&["4 four", "5 ", "6 has 13"]);
}

#[test]
fn lines_are_read_at_once() {
    let mut stage = Fixture::new("latency", "");
    let mut delays: Vec<_> = (1..=50)
        .map(|n| {
            let began = Instant::now();
            stage.append("jobs.txt", "x\n");
            stage.expect(&[&format!("{n} x")]);
            began.elapsed()
        })
        .collect();
    delays.sort_unstable();
    assert!(delays[25] < Duration::from_millis(100), "{delays:?}");
}

#[test]
fn a_replacement_is_read_after_the_rest_of_the_old_file() {
    let mut stage = Fixture::new("replace", "old\n");
    stage.expect(&["1 old"]);
    for rest in ["2 rest", "2 lastrest", "2 lastrest"] {
        stage.append("new", "new\nlast");
        stage.append("jobs.txt", "rest\n");
        fs::rename(stage.path("new"), stage.path("jobs.txt")).unwrap();
        stage.expect(&[rest, REPLACED, "1 new"]);
    }
}

#[test]
fn a_rotated_file_is_read_until_there_is_a_new_one() {
    let mut stage = Fixture::new("rotate", "a\n");
    stage.expect(&["1 a"]);
    fs::rename(stage.path("jobs.txt"), stage.path("jobs.1")).unwrap();
    stage.expect(&[REMOVED]);
    stage.append("jobs.1", "b\nc");
    stage.expect(&["2 b"]);
    stage.append("jobs.txt", "d\n");
    stage
        .expect(&[&format!("{BACK}; its last line, of 1 bytes, had no end and is not run"), "1 d"]);
    fs::rename(stage.path("jobs.txt"), stage.path("away")).unwrap();
    stage.expect(&[REMOVED]);
    fs::rename(stage.path("away"), stage.path("jobs.txt")).unwrap();
    stage.expect(&["jobs.txt is back; reading on"]);
    stage.append("jobs.txt", "e\n");
    stage.expect(&["2 e"]);
}

#[test]
fn a_truncated_file_is_read_from_its_start() {
    let mut stage = Fixture::new("truncate", "one\nhal");
    stage.expect(&["1 one"]);
    File::create(stage.path("jobs.txt")).unwrap();
    let lost = "; its last line, of 3 bytes, had no end and is not run";
    stage.expect(&[&format!("{TRUNCATED}{lost}")]);
    stage.append("jobs.txt", "new\n");
    stage.expect(&["1 new"]);
}

#[test]
fn a_removed_file_may_return_even_with_its_directory() {
    let mut stage = Fixture::new("remove", "a\n");
    stage.expect(&["1 a"]);
    fs::remove_file(stage.path("jobs.txt")).unwrap();
    stage.expect(&[REMOVED]);
    stage.append("jobs.txt", "b\n");
    stage.expect(&[BACK, "1 b"]);
    fs::remove_dir_all(&stage.directory).unwrap();
    stage.expect(&[REMOVED]);
    fs::create_dir(&stage.directory).unwrap();
    stage.append("jobs.txt", "c\n");
    stage.expect(&[BACK, "1 c"]);
    let elsewhere = stage.directory.with_extension("elsewhere");
    fs::rename(&stage.directory, &elsewhere).unwrap();
    stage.expect(&[REMOVED]);
    fs::rename(&elsewhere, &stage.directory).unwrap();
    stage.expect(&["jobs.txt is back; reading on"]);
    stage.append("jobs.txt", "d\n");
    stage.expect(&["2 d"]);
}

#[test]
fn a_changed_link_counts_as_a_replacement() {
    let mut stage = Fixture::new("link", "a\n");
    stage.expect(&["1 a"]);
    fs::create_dir(stage.path("far")).unwrap();
    stage.append("far/jobs", "b\n");
    std::os::unix::fs::symlink("far/jobs", stage.path("link")).unwrap();
    fs::rename(stage.path("link"), stage.path("jobs.txt")).unwrap();
    stage.expect(&[REPLACED, "1 b"]);
    stage.append("far/jobs", "c\n");
    stage.append("far/new", "d\n");
    stage.expect(&["2 c"]);
    fs::rename(stage.path("far/new"), stage.path("far/jobs")).unwrap();
    stage.expect(&[REPLACED, "1 d"]);
}

#[test]
fn a_rewrite_of_equal_length_is_read_from_its_start() {
    let mut stage = Fixture::new("rewrite", "job1\n");
    stage.expect(&["1 job1"]);
    for n in 2..=9 {
        fs::write(stage.path("jobs.txt"), format!("job{n}\n")).unwrap();
        let mut came = stage.take(1);
        // The truncation may be seen before the new content.
        if came == [TRUNCATED] {
            came = stage.take(1);
        } else if came == ["jobs.txt was rewritten; reading it from its start"] {
            came = stage.take(1);
        }
        assert_eq!(came, [format!("1 job{n}")]);
    }
}

#[test]
fn lines_that_come_late_to_a_replaced_file_are_read() {
    let mut stage = Fixture::new("late", "a\n");
    stage.expect(&["1 a"]);
    let mut old = File::options().append(true).open(stage.path("jobs.txt")).unwrap();
    old.write_all(b"hal").unwrap();
    stage.append("new", "new\n");
    fs::rename(stage.path("new"), stage.path("jobs.txt")).unwrap();
    old.write_all(b"f\nlate\n").unwrap();
    stage.expect(&["2 half", "3 late"]);
    drop(old);
    stage.expect(&[REPLACED, "1 new"]);
}

#[test]
fn half_a_line_of_a_replaced_file_is_not_run() {
    let mut stage = Fixture::new("half", "a\nhal");
    stage.expect(&["1 a"]);
    stage.append("new", "new\n");
    fs::rename(stage.path("new"), stage.path("jobs.txt")).unwrap();
    let lost = format!("{REPLACED}; its last line, of 3 bytes, had no end and is not run");
    stage.expect(&[&lost, "1 new"]);
}

#[test]
fn zero_bytes_at_the_start_of_a_truncated_file_are_no_job() {
    let mut stage = Fixture::new("zeros", "");
    let mut writer = File::options().write(true).open(stage.path("jobs.txt")).unwrap();
    writer.write_all(b"first\n").unwrap();
    stage.expect(&["1 first"]);
    writer.set_len(0).unwrap();
    stage.expect(&[TRUNCATED]);
    writer.write_all(b"second\n").unwrap();
    let skipped = "jobs.txt begins with 6 zero bytes, which are skipped: its writer must open it for \
                   appending";
    stage.expect(&[skipped, "1 second"]);
}
