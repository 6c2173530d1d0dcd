//! Compares what users and other programs read with files that are under version control, so that
//! a change of a name, a type or a sentence shows in review.
//!
//! A snapshot that differs fails the test and leaves a `.snap.new` beside it; to accept it, run
//! the test with `INSTA_UPDATE=always`.

mod filter;
mod help;
mod journal;
mod live;
mod records;
mod reports;
mod screens;

use std::process::{Command, Stdio};

use super::support::{Run, SUPERVISOR};

/// Compares a text with its golden file.
fn check(name: &str, text: &str) {
    insta::with_settings!(
        {
            snapshot_path => "snapshots",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        },
        { insta::assert_snapshot!(name, text) }
    );
}

/// What a program writes to stdout when it succeeds. It inherits no environment but `PATH`, since
/// help shows the values of variables and wraps at `COLUMNS`.
fn stdout(program: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", std::env::var_os("PATH").unwrap());
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn supervisor(arguments: &[&str]) -> String {
    stdout(SUPERVISOR, arguments)
}

/// One worker that gets these jobs, one at a time.
fn worker(jobs: &[&str]) -> Run {
    Run::worker("work").with("-w 1 --depth 1 --retries 1 --retry-delay 0s").given(jobs)
}

/// Two jobs: one is done, one fails twice. The failing job is the last one, so that no other job
/// overtakes its retry.
fn jobs() -> Run {
    worker(&["fine", "fail no such host"])
}

/// One command after another: two that succeed, one that fails.
fn commands() -> Run {
    Run::each_sh("echo out {}; echo err {} >&2; exit {}")
        .with("-j 1 --retries 1 --retry-delay 0s")
        .given(["0", "00", "3"])
}
