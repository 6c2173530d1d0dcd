//! Verbs that change a live run: pause, resume, restart, roll, signal and stop.

use std::fs;

use crate::support::{Run, procfs, runtime_dir::RuntimeDir, until};

#[test]
fn a_paused_run_finishes_what_runs_and_begins_nothing() {
    let runs = RuntimeDir::new();
    let script = "echo begun {} >>\"$0.log\"; until [ -e go ]; do sleep 0.01; done";
    let run = Run::each_sh(&script.replace("$0.log", "begun.log")).with("-j 2 --name it");
    let log = run.scratch.file("begun.log", "", 0o644);
    let begun = || fs::read_to_string(&log).unwrap().lines().count();
    let run = runs.run(run).given((1..=6).map(|job| job.to_string())).start();
    runs.wait_for_run();
    until("two that run", || runs.snapshot()["jobs"]["running"] == 2 && begun() == 2);
    let paused = runs.output(&["pause"]);
    assert_eq!(paused, "no job is started until resume; running jobs finish: 2\n");
    until("the pause", || runs.snapshot()["state"] == "paused");
    let go = run.scratch_path().join("go");
    fs::write(&go, "").unwrap();
    until("their ends", || runs.snapshot()["jobs"]["ok"] == 2);
    // A job that was begun in spite of the pause would have been answered before this command.
    assert_eq!(runs.output(&["cancel", "6"]), "job 6 is not begun\n");
    assert!(runs.output(&["ps"]).contains("paused, running for "), "{}", runs.output(&["ps"]));
    until("one job less", || runs.snapshot()["jobs"]["queued"] == 3);
    assert_eq!(begun(), 2);
    assert_eq!(runs.output(&["resume"]), "jobs are started again\n");
    until("its end", || procfs::stat(run.pid()).is_none_or(|stat| stat.state == 'Z'));
    fs::remove_file(go).unwrap();
    assert_eq!(begun(), 5);
    let run = run.finish();
    for message in ["supervisor: paused: running jobs finish", "supervisor: resumed\n"] {
        assert!(run.stderr.contains(message), "{}", run.stderr);
    }
}

#[test]
fn a_program_without_jobs_is_not_paused() {
    let runs = RuntimeDir::new();
    let run = runs.run(Run::sh("exec sleep 1000").with("--name it")).start();
    runs.wait_for_run();
    let refused = runs.refusal(&["pause"]);
    assert!(refused.contains("pause and resume are for runs with jobs"), "{refused}");
    assert!(runs.refusal(&["roll"]).contains("that is for --restart always"));
    assert!(runs.refusal(&["restart", "w1"]).contains("that is for --restart always"));
    runs.output(&["stop", "--wait"]);
    assert_eq!(run.finish().code(), Some(3));
}

#[test]
fn stop_can_wait_until_everything_has_ended() {
    let runs = RuntimeDir::new();
    let script = "trap 'sleep 0.3; exit' TERM; echo up; while :; do sleep 0.05; done";
    let mut run = runs.run(Run::sh(script).with("--name it")).start();
    until("up", || run.stdout.text().contains("up"));
    runs.wait_for_run();
    assert_eq!(runs.output(&["stop", "--wait"]), "asked to stop\n");
    assert!(run.has_ended() && run.processes().is_empty());
    assert_eq!(run.finish().code(), Some(3));
}

#[test]
fn one_worker_is_replaced_by_restart_and_all_by_roll() {
    let runs = RuntimeDir::new();
    let run = Run::sh("echo up; exec sleep 1000").with("-w 2 --restart always --name it").jsonl();
    let run = runs.run(run).start();
    run.first_pids(2);
    run.ready();
    assert_eq!(runs.output(&["restart", "w2"]), "w2.1 is being replaced\n");
    run.stdout.record("started", 2, 2);
    assert_eq!(run.stdout.record("ended", 2, 1)["cause"], "rolled");
    assert!(runs.refusal(&["restart", "w9"]).contains("there is no worker w9"));
    run.ready();
    assert_eq!(runs.output(&["roll"]), "all workers are being replaced, one by one\n");
    run.stdout.record("ended", 1, 1);
    run.stdout.record("ended", 2, 2);
    runs.output(&["stop"]);
    assert_eq!(run.finish().code(), Some(3));
}

#[test]
fn a_signal_reaches_the_program_of_a_worker() {
    let runs = RuntimeDir::new();
    let script = "trap 'echo heard' HUP; echo up; while :; do sleep 0.02; done";
    let run = runs.run(Run::sh(script).with("-w 2 --name it").jsonl()).start();
    run.stdout.line(1, "up");
    run.stdout.line(2, "up");
    assert_eq!(runs.output(&["signal", "HUP", "w2"]), "SIGHUP sent to w2.1\n");
    run.stdout.line(2, "heard");
    assert!(!run.stdout.text().contains("\"line\":\"heard\",\"worker\":1"));
    assert_eq!(runs.output(&["signal", "sighup"]), "SIGHUP sent to w1.1, w2.1\n");
    run.stdout.line(1, "heard");
    assert!(runs.refusal(&["signal", "HUP", "w9"]).contains("there is no worker w9"));
    runs.output(&["stop"]);
    run.finish();
}

#[test]
fn a_signal_reaches_the_command_of_a_job() {
    let runs = RuntimeDir::new();
    let script = "i={}; trap 'echo heard $i; exit' USR1; touch up; while :; do sleep 0.02; done";
    let run = runs.run(Run::each_sh(script).with("-j 1 --name it"));
    let run = run.given(["a"]).start();
    runs.wait_for_run();
    let up = run.scratch_path().join("up");
    until("up", || up.exists());
    fs::remove_file(up).unwrap();
    // The process of a command is known once it has run for a while.
    until("its process", || runs.request(&["signal", "USR1"]).status.success());
    assert_eq!(run.finish().lines(), ["heard a"]);
}
