//! A program that cannot be started causes one message with the reason and the remedy, the exit
//! status that a shell would give, and no retry.

use crate::support::{Finished, Run};

/// Runs three workers that fail alike, and checks that there is one message.
fn refused(run: Run, status: i32, thing: &str, remedy: &str) {
    let run = run.with("--workers 3 --restart always").finish();
    said_once(&run, status, thing, remedy);
    assert_eq!(run.stdout_text(), "");
}

fn said_once(run: &Finished, status: i32, thing: &str, remedy: &str) {
    assert_eq!(run.code(), Some(status), "{}", run.stderr);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
    assert!(run.stderr.starts_with("supervisor: "), "{}", run.stderr);
    assert!(run.stderr.contains(thing) && run.stderr.contains(remedy), "{}", run.stderr);
}

#[test]
fn a_missing_program_exits_with_127() {
    refused(Run::of(["no-such-program"]), 127, "no-such-program: not found", "give its path");
    refused(Run::of(["./no/such"]), 127, "./no/such: no such file", "check the path");
    let run = Run::of(["./no/such"]).with("--cwd /usr");
    refused(run, 127, "no such file in /usr", "check the path");
    let run = Run::of(["here"]);
    run.scratch.file("here", "#!/bin/sh\n", 0o755);
    refused(run, 127, "here: not found in PATH", "write ./here");
    let run = Run::of(["./script"]);
    run.scratch.file("script", "#!/no/such/interpreter\n", 0o755);
    refused(run, 127, "./script: its interpreter", "install /no/such/interpreter");
}

#[test]
fn an_unexecutable_program_exits_with_126() {
    refused(Run::of(["/usr"]), 126, "/usr: it is a directory", "name a program in it");
    let run = Run::of(["./plain"]);
    run.scratch.file("plain", "#!/bin/sh\n", 0o644);
    refused(run, 126, "./plain: it is not executable", "chmod +x ./plain");
    let run = Run::of(["./script"]);
    run.scratch.file("script", "echo not for a shell to guess\n", 0o755);
    refused(run, 126, "./script: the kernel knows no such format", "#!/bin/sh");
}

#[test]
fn a_refused_limit_exits_with_125() {
    // More than any fs.nr_open: the kernel refuses it even for root.
    let run = Run::of(["true"]).with("--limit nofile=99999999999");
    refused(run, 125, "refuses the limit nofile=99999999999", "ulimit -H");
}

#[test]
fn a_missing_directory_is_a_usage_error() {
    let run = Run::of(["true"]).with("--cwd no/such");
    refused(run, 2, "--cwd no/such is not there", "give a directory");
    let run = Run::of(["true"]).with("--cwd plain");
    run.scratch.file("plain", "", 0o644);
    refused(run, 2, "--cwd plain is not a directory", "give a directory");
}

#[test]
fn records_carry_the_start_fault() {
    let run = Run::of(["no-such-program"]).with("--workers 2").jsonl().finish();
    said_once(&run, 127, "no-such-program", "PATH");
    let records = run.records("ended");
    assert_eq!(records.len(), 2);
    for record in &records {
        assert_eq!(record["cause"], "could_not_start");
        assert_eq!(record["fault"], "execute: No such file or directory");
        assert_eq!(record["next"], "done");
    }
    assert!(run.records("started").is_empty());
}

#[test]
fn a_limit_too_low_for_startup_is_named() {
    // The dynamic loader runs, fails, and exits with 127.
    let run = Run::of(["true"]).with("--limit as=1M").finish();
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert!(run.lines().last().unwrap().ends_with("exited with code 127"), "{:?}", run.lines());
    let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
    assert!(message.contains("the limit as may be below what the program needs"), "{message}");
    assert!(message.ends_with("raise it"), "{message}");
    assert!(!run.stderr.contains("not found"), "{}", run.stderr);
}
