//! Which workers are restarted, and when; the others are not affected.

use std::time::{Duration, Instant};

use crate::support::{Run, Running, Signal, Value, pid, procfs, send, until};
use serde_json::json;

/// Four ready workers under `--restart always`, and their PIDs.
fn four_ready(script: &str) -> (Running, Vec<i32>) {
    let run = Run::sh(script).with("--workers 4 --restart always").jsonl().start();
    let pids = run.first_pids(4);
    run.ready();
    (run, pids)
}

/// Waits until the second worker is replaced, and checks that nothing else has changed; returns the
/// record of its end.
fn replaced_alone(run: &Running, before: &[i32]) -> Value {
    let ended = run.stdout.record("ended", 2, 1);
    let started = run.stdout.record("started", 2, 2);
    assert_eq!(pid(&ended), before[1]);
    assert_eq!((&ended["next"], &ended["after_ms"]), (&json!("restart"), &json!(0.0)), "{ended}");
    let after = [before[0], pid(&started), before[2], before[3]];
    assert!(after.into_iter().all(procfs::is_alive));
    // No zombies and no other processes.
    let mut children: Vec<_> = run.workers();
    children.sort_by_key(|child| after.iter().position(|pid| *pid == child.pid));
    assert!(children.iter().all(|child| child.state != 'Z'), "{children:?}");
    assert_eq!(children.iter().map(|child| child.pid).collect::<Vec<_>>(), after);
    ended
}

/// Ends the run, and checks that only these workers ended before.
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
fn a_killed_worker_alone_is_replaced_at_once() {
    let (run, pids) = four_ready(LONG_LIVED);
    send(pids[1], Signal::SIGKILL);
    let ended = replaced_alone(&run, &pids);
    let (cause, sender, code) = (&ended["cause"], &ended["sender"], &ended["code"]);
    assert_eq!((cause, sender, code), (&json!("signal"), &json!("outside"), &json!(137)));
    stop(run, 1);
}

#[test]
fn a_crashed_worker_alone_is_replaced_at_once() {
    let (run, pids) = four_ready(&format!("ulimit -c 0; {LONG_LIVED}"));
    send(pids[1], Signal::SIGSEGV);
    let ended = replaced_alone(&run, &pids);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("signal"), &json!(139)));
    assert_eq!(ended["signal"], "SIGSEGV");
    stop(run, 1);
}

#[test]
fn an_exited_worker_alone_is_replaced_at_once() {
    // The sleep is left in the worker's group and is killed with it.
    let (run, pids) = four_ready("sleep 1000 & trap 'exit 3' USR2; echo up; wait $!");
    send(pids[1], Signal::SIGUSR2);
    let ended = replaced_alone(&run, &pids);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("exit"), &json!(3)));
    stop(run, 1);
}

#[test]
fn restart_on_failure_restarts_only_failed_workers() {
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
fn restart_on_failure_restarts_a_killed_worker() {
    let run = Run::sh(LONG_LIVED).with("--restart on-failure").jsonl().start();
    send(run.first_pids(1)[0], Signal::SIGKILL);
    assert_eq!(run.stdout.record("ended", 1, 1)["next"], "restart");
    run.stdout.record("started", 1, 2);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn without_restart_no_worker_is_restarted() {
    let run = Run::sh("exit $((SUPERVISOR_WORKER - 1))").with("--workers 2").jsonl().finish();
    assert_eq!((run.records("started").len(), run.code()), (2, Some(1)));
    assert!(run.records("ended").iter().all(|ended| ended["next"] == "done"));
}

#[test]
fn restart_delays_grow_for_a_crash_loop() {
    let begun = Instant::now();
    let run = Run::sh("exit 1").with("--restart always").jsonl().start();
    let mut waited = Duration::ZERO;
    for (generation, middle) in [(1, 100.0), (2, 200.0), (3, 400.0), (4, 800.0)] {
        run.stdout.record("started", 1, generation);
        assert!(begun.elapsed() >= waited, "generation {generation} began before its time");
        let ended = run.stdout.record("ended", 1, generation);
        let after = ended["after_ms"].as_f64().unwrap();
        assert!((middle * 0.8..=middle * 1.2).contains(&after), "{ended}");
        waited += Duration::from_secs_f64(after / 1e3);
    }
    // While it waits to start the fifth generation.
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    assert_eq!(run.records("started").len(), 4);
}

#[test]
fn restart_delays_have_jitter() {
    let run = Run::sh("exit 1").with("--workers 16 --restart always").jsonl().start();
    let ends = (1..=16).map(|worker| run.stdout.record("ended", worker, 1));
    let mut delays: Vec<_> = ends.map(|ended| ended["after_ms"].to_string()).collect();
    delays.sort_unstable();
    delays.dedup();
    assert!(delays.len() > 4, "{delays:?}");
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_worker_killed_before_it_is_ready_is_replaced_after_a_delay() {
    let run = Run::sh(LONG_LIVED).with("--workers 2 --restart always").jsonl().start();
    let pids = run.first_pids(2);
    send(pids[0], Signal::SIGKILL);
    let ended = run.stdout.record("ended", 1, 1);
    let after = ended["after_ms"].as_f64().unwrap();
    assert!((80.0..=120.0).contains(&after), "{ended}");
    assert_eq!((&ended["cause"], &ended["sender"]), (&json!("signal"), &json!("outside")));
    run.stdout.record("started", 1, 2);
    assert!(procfs::is_alive(pids[1]));
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_worker_becomes_ready_while_the_supervisor_is_stopped() {
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
        assert_eq!(ended["after_ms"], 0.0, "{ended}");
    }
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_hundred_restarts_leak_no_zombie_and_no_descriptor() {
    let run = Run::sh(LONG_LIVED).with("--workers 20 --restart always").jsonl().start();
    let open = || std::fs::read_dir(format!("/proc/{}/fd", run.supervisor())).unwrap().count();
    let mut open_before = 0;
    for generation in 1..=5 {
        let started = (1..=20).map(|worker| run.stdout.record("started", worker, generation));
        let pids: Vec<_> = started.map(|record| pid(&record)).collect();
        let alive = || run.workers().iter().filter(|c| c.state != 'Z').count();
        until("twenty children", || (alive(), run.workers().len()) == (20, 20));
        if generation == 1 {
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
