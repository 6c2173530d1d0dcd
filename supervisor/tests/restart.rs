//! Which workers are started again, when, and what that does to the others: nothing.

mod support;

use std::time::Instant;

use serde_json::json;
use support::{Run, Running, Signal, Value, pid, procfs, send, until};

/// Four workers under `--restart always` that have become ready, and their PIDs.
fn four_ready(script: &str) -> (Running, Vec<i32>) {
    let run = Run::sh(script).with("--workers 4 --restart always").jsonl().start();
    let pids = run.first_pids(4);
    run.ready();
    (run, pids)
}

/// Waits until the second worker is replaced, and checks that nothing else has changed. The
/// record of its end.
fn replaced_alone(run: &Running, before: &[i32]) -> Value {
    let ended = run.stdout.record("ended", 2, 1);
    let started = run.stdout.record("started", 2, 2);
    assert_eq!(pid(&ended), before[1]);
    assert_eq!((&ended["next"], &ended["after_ms"]), (&json!("restart"), &json!(0)), "{ended}");
    let after = [before[0], pid(&started), before[2], before[3]];
    assert!(after.into_iter().all(procfs::is_alive));
    // No zombie among them, nor anybody else.
    let mut children: Vec<_> = run.workers();
    children.sort_by_key(|child| after.iter().position(|pid| *pid == child.pid));
    assert!(children.iter().all(|child| child.state != 'Z'), "{children:?}");
    assert_eq!(children.iter().map(|child| child.pid).collect::<Vec<_>>(), after);
    ended
}

/// Ends the run; of the workers' ends only these were news before.
fn stop(run: Running, ends: usize) {
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let records = run.records("ended");
    let asked = records.iter().filter(|record| record["cause"] == "shutdown").count();
    assert_eq!((asked, records.len()), (4, 4 + ends));
    let restarts: Vec<_> = run.records("slot").iter().map(|t| t["restarts"].clone()).collect();
    assert_eq!(restarts, [0, 1, 0, 0]);
}

const LONG_LIVED: &str = "echo up; exec sleep 1000";

#[test]
fn a_worker_killed_from_outside_is_replaced_at_once_and_alone() {
    let (run, pids) = four_ready(LONG_LIVED);
    send(pids[1], Signal::SIGKILL);
    let ended = replaced_alone(&run, &pids);
    let (cause, sender, code) = (&ended["cause"], &ended["sender"], &ended["code"]);
    assert_eq!((cause, sender, code), (&json!("signal"), &json!("outside"), &json!(137)));
    stop(run, 1);
}

#[test]
fn a_worker_that_crashes_is_replaced_at_once_and_alone() {
    let (run, pids) = four_ready(&format!("ulimit -c 0; {LONG_LIVED}"));
    send(pids[1], Signal::SIGSEGV);
    let ended = replaced_alone(&run, &pids);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("signal"), &json!(139)));
    assert_eq!(ended["signal"], "SIGSEGV");
    stop(run, 1);
}

#[test]
fn a_worker_that_exits_is_replaced_at_once_and_alone() {
    // The sleep is left behind in its group, and goes with it.
    let (run, pids) = four_ready("sleep 1000 & trap 'exit 3' USR2; echo up; wait $!");
    send(pids[1], Signal::SIGUSR2);
    let ended = replaced_alone(&run, &pids);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("exit"), &json!(3)));
    stop(run, 1);
}

#[test]
fn on_failure_starts_again_only_what_failed() {
    let script = "exit $((SUPERVISOR_WORKER - 1))";
    let run = Run::sh(script).with("--workers 2 --restart on-failure").jsonl().start();
    let (well, failed) = (run.stdout.record("ended", 1, 1), run.stdout.record("ended", 2, 1));
    assert_eq!((&well["next"], &failed["next"]), (&json!("done"), &json!("restart")));
    run.stdout.record("started", 2, 2);
    run.signal(Signal::SIGTERM);
    let starts = run.finish().records("started");
    assert_eq!(starts.iter().filter(|start| start["worker"] == 1).count(), 1);
}

#[test]
fn a_worker_killed_on_failure_is_started_again() {
    let run = Run::sh(LONG_LIVED).with("--restart on-failure").jsonl().start();
    send(run.first_pids(1)[0], Signal::SIGKILL);
    assert_eq!(run.stdout.record("ended", 1, 1)["next"], "restart");
    run.stdout.record("started", 1, 2);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn without_restart_nothing_is_started_again() {
    let run = Run::sh("exit $((SUPERVISOR_WORKER - 1))").with("--workers 2").jsonl().finish();
    assert_eq!((run.records("started").len(), run.code()), (2, Some(1)));
    assert!(run.records("ended").iter().all(|ended| ended["next"] == "done"));
}

#[test]
fn what_dies_at_once_is_started_after_growing_delays() {
    let begun = Instant::now();
    let run = Run::sh("exit 1").with("--restart always").jsonl().start();
    let mut waited_ms = 0;
    for (life, middle) in [(1, 100), (2, 200), (3, 400), (4, 800)] {
        run.stdout.record("started", 1, life);
        assert!(begun.elapsed().as_millis() >= waited_ms, "life {life} began before its time");
        let ended = run.stdout.record("ended", 1, life);
        let after = ended["after_ms"].as_u64().unwrap();
        assert!((middle * 8 / 10..=middle * 12 / 10).contains(&after), "{ended}");
        waited_ms += u128::from(after);
    }
    // While it waits for its fifth.
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    assert_eq!(run.records("started").len(), 4);
}

#[test]
fn delays_are_not_the_same_for_all() {
    let run = Run::sh("exit 1").with("--workers 16 --restart always").jsonl().start();
    let ends = (1..=16).map(|worker| run.stdout.record("ended", worker, 1));
    let mut delays: Vec<_> = ends.map(|ended| ended["after_ms"].as_u64()).collect();
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 4, "{delays:?}");
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_worker_killed_before_it_was_ready_is_not_replaced_at_once() {
    let run = Run::sh(LONG_LIVED).with("--workers 2 --restart always").jsonl().start();
    let pids = run.first_pids(2);
    send(pids[0], Signal::SIGKILL);
    let ended = run.stdout.record("ended", 1, 1);
    let after = ended["after_ms"].as_u64().unwrap();
    assert!((80..=120).contains(&after), "{ended}");
    assert_eq!((&ended["cause"], &ended["sender"]), (&json!("signal"), &json!("outside")));
    run.stdout.record("started", 1, 2);
    assert!(procfs::is_alive(pids[1]));
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_second_up_counts_also_where_nobody_looked_on() {
    let script = "sleep 1.2; exit 3";
    let run = Run::sh(script).with("--workers 8 --restart always").jsonl().start();
    let pids = run.first_pids(8);
    let begun = Instant::now();
    run.signal(Signal::SIGSTOP);
    until("all workers' ends", || !pids.iter().any(|pid| procfs::is_alive(*pid)));
    until("a second", || begun.elapsed().as_secs() >= 1);
    run.signal(Signal::SIGCONT);
    for worker in 1..=8 {
        let ended = run.stdout.record("ended", worker, 1);
        assert_eq!(ended["after_ms"], 0, "{ended}");
    }
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_hundred_deaths_leave_no_zombie_and_no_descriptor() {
    let run = Run::sh(LONG_LIVED).with("--workers 20 --restart always").jsonl().start();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", run.supervisor())).unwrap().count();
    let mut open_before = 0;
    for life in 1..=5 {
        let started = (1..=20).map(|worker| run.stdout.record("started", worker, life));
        let pids: Vec<_> = started.map(|record| pid(&record)).collect();
        let alive = || run.workers().iter().filter(|c| c.state != 'Z').count();
        until("twenty children", || (alive(), run.workers().len()) == (20, 20));
        if life == 1 {
            run.ready();
            open_before = open();
        } else {
            until("as many descriptors", || open() == open_before);
            run.ready();
        }
        pids.into_iter().for_each(|pid| send(pid, Signal::SIGKILL));
    }
    (1..=20).for_each(|worker| drop(run.stdout.record("started", worker, 6)));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().records("ended").len(), 120);
}
