//! What a person reads during a run and at its end, on both streams.

use super::{super::support::Run, check, commands, filter::stable, jobs, worker};

fn check_run(name: &str, run: Run) {
    let run = run.finish();
    assert_ne!(run.code(), Some(2), "{}", run.stderr);
    let (stdout, stderr) = (run.stdout_text().to_owned(), &run.stderr);
    let text = format!("--- stdout\n{stdout}--- stderr\n{stderr}--- {}\n", run.status);
    check(name, &stable(&text));
}

#[test]
fn the_table_of_a_run_is_golden() {
    check_run("screen-run", Run::sh("echo out; exit 3").with("-w 1"));
    check_run("screen-run-killed", Run::sh("kill -KILL $$").with("-w 1"));
    check_run("screen-run-not-found", Run::of(["./nothing"]).with("-w 1"));
}

#[test]
fn the_summary_of_jobs_is_golden() {
    check_run("screen-jobs", jobs());
    check_run("screen-crash", worker(&["segv"]));
}

#[test]
fn the_summary_of_commands_is_golden() {
    check_run("screen-each", commands());
    check_run("screen-each-tagged", commands().with("--tag --keep-order"));
    check_run("screen-each-halted", commands().with("--halt now,fail=1"));
    check_run("screen-each-dry-run", commands().with("--dry-run"));
}
