//! `supervisor check-worker` passes workers that keep the protocol, and names the rules that others
//! break.

use std::{
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{SUPERVISOR, fixture};

/// Checks a program; returns the exit status and the lines of the report.
fn check(options: &[&str], program: &[&str]) -> (Option<i32>, Vec<String>) {
    let mut command = Command::new(SUPERVISOR);
    command.arg("check-worker").args(options).args(program).stdin(Stdio::null());
    let output = command.output().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(str::to_owned).collect())
}

/// The cases that every worker passes.
const CASES: [&str; 14] = [
    "hello",
    "one job",
    "an empty payload",
    "a payload that is not text",
    "a payload in Unicode",
    "a payload of 3 MiB",
    "a job that arrives byte by byte",
    "three jobs at once, answered in order",
    "messages that concern no job",
    "bye",
    "the end of its replies",
    "the end of the jobs pipe",
    "a supervisor of another version",
    "a supervisor that dies before its hello",
];

fn passes(program: &[&str], describes: &str) {
    let (code, lines) = check(&["--timeout", "20s"], program);
    assert_eq!(code, Some(0), "{program:?}: {lines:#?}");
    assert!(lines.iter().all(|line| line.starts_with("ok    ")), "{program:?}: {lines:#?}");
    for case in CASES {
        let start = format!("ok    {case}: ");
        assert!(lines.iter().any(|line| line.starts_with(&start)), "{case}: {lines:#?}");
    }
    assert_eq!(lines[0], format!("ok    hello: {describes}"));
}

#[test]
fn the_example_workers_keep_the_protocol() {
    passes(&[&fixture("echo")], "bincode, recorder");
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/worker/examples");
    for (interpreter, script) in [("python3", "worker.py"), ("node", "worker.js")] {
        if Command::new(interpreter).arg("--version").output().is_err() {
            eprintln!("NOT TRIED: {interpreter} is not installed");
            continue;
        }
        let script = examples.join(script).canonicalize().unwrap();
        // The scripts are executable themselves.
        passes(&[script.to_str().unwrap()], "json, no capabilities");
    }
}

#[test]
fn a_worker_with_a_recorder_is_checked_against_its_page() {
    let (_, lines) = check(&[], &[&fixture("echo")]);
    for line in [
        "ok    the recorder names the job: seq 3",
        "ok    a retracted job is not started: and the one after `resume` is",
    ] {
        assert!(lines.iter().any(|it| it == line), "{lines:#?}");
    }
}

#[test]
fn each_violation_is_named_with_its_section() {
    let vile = fixture("vile");
    for (mode, line) in [
        ("mute", "FAIL  hello: it sends nothing: waited for 500 ms (PROTOCOL.md, \"Hellos\")"),
        (
            "garbage",
            "FAIL  one job: a message is invalid: there is no message 1931505518: `no such",
        ),
        ("hostile-length", "FAIL  one job: a frame of 4294967295 bytes is over the cap"),
        ("wrong-id", "FAIL  one job: a reply to job 1000001, attempt 1, instead of job 1"),
        ("twice", "FAIL  an empty payload: a reply to job 1, attempt 1, instead of job 2"),
        ("deaf", "FAIL  one job: it sends nothing"),
    ] {
        let (code, lines) = check(&["--timeout", "500ms"], &[&vile, mode]);
        assert_eq!(code, Some(1), "{mode}: {lines:#?}");
        assert!(lines.iter().any(|it| it.starts_with(line)), "{mode}: {lines:#?}");
    }
}

#[test]
fn a_child_that_keeps_the_replies_open_is_found() {
    let script = "sleep 1000 & exec \"$0\"";
    let (code, lines) = check(&["--timeout", "2s"], &["sh", "-c", script, &fixture("echo")]);
    assert_eq!(code, Some(1), "{lines:#?}");
    let words = "FAIL  the end of its replies: a child process holds the replies pipe open";
    assert!(lines.iter().any(|line| line.starts_with(words)), "{lines:#?}");
}

#[test]
fn a_program_that_is_no_worker_fails_and_one_that_cannot_start_is_a_usage_error() {
    let (code, lines) = check(&["--timeout", "5s"], &["true"]);
    assert_eq!((code, lines.len()), (Some(1), 1), "{lines:#?}");
    assert!(lines[0].starts_with("FAIL  hello: it "), "{lines:#?}");
    assert_eq!(check(&[], &["/no/such/program"]), (Some(2), Vec::new()));
    assert_eq!(check(&[], &[]).0, Some(2));
}
