//! Workers get exactly the environment, directory and arguments that the user gave.

use std::collections::BTreeMap;

use crate::support::{Run, Value, fixture};

fn report(run: Run) -> Value {
    let run = run.jsonl().start();
    let seen = run.stdout.report(1);
    assert_eq!(run.finish().code(), Some(0));
    seen
}

#[test]
fn env_adds_to_the_inherited_environment() {
    let run = Run::of([fixture("report")]).after("export KEPT=1 CHANGED=1 SUPERVISOR_WORKER=9");
    let run = run.option("--env", "CHANGED=2=3").option("--env", "EMPTY=");
    let run = run.option("--env", "TWICE=1").option("--env", "TWICE=2");
    let seen = report(run);
    for (name, value) in [
        ("KEPT", "1"),
        ("CHANGED", "2=3"),
        ("EMPTY", ""),
        ("TWICE", "2"),
        ("SUPERVISOR_WORKER", "1"),
    ] {
        assert_eq!(seen["env"][name], value, "{name}");
    }
    assert!(seen["env"]["PATH"].is_string());
}

#[test]
fn env_clear_passes_only_the_given_variables() {
    let run = Run::of([fixture("report")]).with("--env-clear --env ONLY=this --workers 1");
    let env: BTreeMap<String, Value> = serde_json::from_value(report(run)["env"].clone()).unwrap();
    // The second marks processes of the run, the third processes of this test.
    let names: Vec<_> = env.keys().map(|name| &name[..name.len().min(15)]).collect();
    assert_eq!(names, ["ONLY", "SUPERVISOR_RUN_", "SUPERVISOR_TEST", "SUPERVISOR_WORK"]);
}

#[test]
fn cwd_sets_the_working_directory() {
    let run = Run::of([fixture("report")]);
    let here = run.scratch.path().to_str().unwrap().to_owned();
    assert_eq!(report(run)["cwd"], here);
    let run = Run::of([fixture("report")]).with("--cwd /usr/bin");
    assert_eq!(report(run)["cwd"], "/usr/bin");
}

#[test]
fn a_relative_program_is_resolved_in_cwd() {
    let run = Run::of(["./hello"]).with("--cwd inner");
    let inner = run.scratch.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    run.scratch.file("inner/hello", "#!/bin/sh\necho hello from ${PWD##*/}\n", 0o755);
    let run = run.finish();
    assert_eq!(run.lines()[0], "[1] hello from inner");
}

#[test]
fn a_program_is_resolved_in_the_workers_path() {
    let run = Run::of(["hello"]).with("--env PATH=.");
    run.scratch.file("hello", "#!/bin/sh\necho found\n", 0o755);
    assert_eq!(run.finish().lines()[0], "[1] found");
}

#[test]
fn arguments_are_passed_unchanged() {
    let report_path = fixture("report");
    let argv = [report_path.as_str(), "", "a b", "--workers", "9", "--", "$HOME", "line\nbreak"];
    assert_eq!(report(Run::of(argv))["argv"], serde_json::json!(argv));
}

#[test]
fn options_after_the_program_belong_to_the_program() {
    let run = Run::of(["--workers", "9"]).with("echo");
    // Here the `--` of `Run::start` comes after the program and is an argument like any other.
    assert_eq!(run.finish().lines()[0], "[1] -- --workers 9");
}

#[test]
fn a_large_environment_is_passed_whole() {
    let large = "x".repeat(100_000);
    let run = (0..10).fold(Run::sh("echo ${#LARGE0} ${#LARGE9}"), |run, number| {
        run.option("--env", format!("LARGE{number}={large}"))
    });
    let run = run.with("--workers 2").finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let lengths = run.lines().iter().filter(|line| line.ends_with("] 100000 100000")).count();
    assert_eq!(lengths, 2, "{:?}", run.lines());
}
