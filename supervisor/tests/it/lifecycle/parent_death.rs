//! No worker outlives its supervisor, and no process of a worker's group outlives the worker.

use crate::support::{Run, Signal, procfs, send, until};

#[test]
fn a_killed_supervisor_takes_its_workers_along() {
    let script = "trap '' HUP INT TERM; echo up; while :; do sleep 0.05; done";
    let run = Run::sh(script).with("--workers 5 --restart always").jsonl().start();
    (1..=5).for_each(|worker| run.stdout.line(worker, "up"));
    let pids = run.first_pids(5);
    // The search that `finish` uses at the end of every run finds these processes now.
    let found = run.processes();
    assert!(pids.iter().chain([&run.pid()]).all(|pid| found.contains(pid)), "{found:?}");
    run.signal(Signal::SIGKILL);
    until("the workers' end", || pids.iter().all(|pid| !procfs::is_alive(*pid)));
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn a_supervisor_killed_while_it_starts_workers_leaves_none() {
    for started in [1, 7, 20] {
        let run = Run::of(["sleep", "1000"]).with("--workers 40").jsonl().start();
        run.stdout.record("started", started, 1);
        run.signal(Signal::SIGKILL);
        assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
    }
}

#[test]
fn a_workers_process_group_dies_with_it() {
    let leaves = "(trap '' HUP INT TERM; echo left; while :; do sleep 1000; done) &";
    let script =
        format!("{leaves} if [ $SUPERVISOR_WORKER = 1 ]; then exec sleep 1000; else wait; fi");
    let run = Run::sh(&script).with("--workers 2").jsonl().start();
    let pids = run.first_pids(2);
    (1..=2).for_each(|worker| run.stdout.line(worker, "left"));
    let left: Vec<_> = procfs::children(pids[0]);
    assert!(!left.is_empty());
    send(pids[0], Signal::SIGKILL);
    run.stdout.record("ended", 1, 1);
    until("the end of what was left", || left.iter().all(|child| !procfs::is_alive(child.pid)));
    // The child of the other worker is still there.
    assert!(!procfs::children(pids[1]).is_empty());
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn orphans_do_not_keep_the_run_alive() {
    // The orphan holds the worker's stdout and stderr open.
    let run = Run::sh("sleep 1000 & echo done").finish();
    assert_eq!((run.lines()[0], run.code()), ("[1] done", Some(0)));
}
