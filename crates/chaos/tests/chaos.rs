//! The chaos program finds no fault in a correct supervisor, and finds the faults of broken ones.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command, Output},
};

const CHAOS: &str = env!("CARGO_BIN_EXE_chaos");

fn supervisor() -> PathBuf {
    let path = Path::new(CHAOS).with_file_name("supervisor");
    assert!(path.is_file(), "{} is not built: test with --workspace", path.display());
    path
}

/// A temporary directory for one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("chaos-test-{}-{name}", process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn chaos(&self, words: &str) -> Command {
        let mut chaos = Command::new(CHAOS);
        chaos.arg("--dir").arg(&self.0).args(words.split(' '));
        chaos
    }

    /// Runs chaos with a supervisor whose arguments a shell script has changed.
    fn found_in(&self, script: &str, words: &str) -> Output {
        let path = self.0.join("supervisor");
        let real = supervisor();
        let text = format!("#!/bin/sh\n{script}\nexec {} \"$@\"\n", real.display());
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        self.chaos(words).arg("--supervisor").arg(&path).output().unwrap()
    }

    fn files(&self) -> usize {
        fs::read_dir(&self.0).unwrap().count()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(output: &Output) -> String {
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
    text(&output.stderr) + &text(&output.stdout)
}

const ZEROS: &str = "lost 0, phantom 0, settled twice 0, starts without a reason 0, \
    wrong blame 0, misconduct 0";

#[test]
fn twenty_seconds_of_chaos_find_no_fault_and_leave_no_file() {
    let scratch = Scratch::new("well");
    let output = scratch.chaos("--seconds 20").output().unwrap();
    let text = text(&output);
    println!("{text}");
    assert!(output.status.success() && text.trim_end().ends_with(ZEROS), "{text}");
    assert_eq!(scratch.files(), 0);
}

#[test]
fn a_job_that_the_supervisor_never_sees_is_reported_lost() {
    let scratch = Scratch::new("lost");
    // The script removes the last line of `run --jobs-from FILE`.
    let output =
        scratch.found_in("[ \"$1\" = journal ] || sed -i '$d' \"$3\"", "--seconds 1 --seed 1");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the journal does not have it\n    submitted   "), "{text}");
    assert!(scratch.files() > 1, "{text}");
}

#[test]
fn jobs_run_twice_are_found() {
    let scratch = Scratch::new("twice");
    // The script removes the journal before each run, so that runs forget earlier ones.
    let script = "[ \"$1\" = journal ] || rm -f \"$5\"*";
    // Chaos stops at the first round in which a run resumed, which is one of the first.
    let output = scratch.found_in(script, "--seconds 120 --seed 3");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("settled twice: job"), "{text}");
}

#[test]
fn leftover_processes_are_found_and_killed() {
    let scratch = Scratch::new("left");
    // The process is not a child of the supervisor, which would kill it.
    let script = "[ \"$1\" = journal ] || (sleep 517 &)";
    let output = scratch.found_in(script, "--seconds 1 --seed 1");
    let text = text(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("it left a process behind: ") && text.contains("sleep 517"), "{text}");
}
