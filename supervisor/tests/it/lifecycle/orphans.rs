//! The processes that a worker leaves behind end with it and are attributed to it, however they try to
//! escape that.

use std::time::{Duration, Instant};

use crate::support::{Run, Running, Signal, Value, fixture, procfs, send, until};
use serde_json::json;

/// A run of two workers, of which the first is a daemon of this mode and the second sleeps. Returns
/// the record of the end of the first, and the processes of the daemon that are left then.
fn daemon(mode: &str) -> (Running, Value, usize) {
    let script = "[ $SUPERVISOR_WORKER = 1 ] && exec \"$0\" \"$1\"; exec sleep 1000";
    let run = Run::of(["sh", "-c", script, &fixture("daemon"), mode]);
    let run = run.with("--workers 2").jsonl().start();
    let ended = run.stdout.record("ended", 1, 1);
    let descendants = procfs::descendants(run.pid()).into_iter();
    let left = descendants.filter(|pid| procfs::name(*pid) == "daemon").count();
    (run, ended, left)
}

#[test]
fn a_daemon_below_a_process_that_is_ending_does_not_outlive_its_worker() {
    let (run, ended, left) = daemon("ending");
    assert_eq!((&ended["left_behind"], left), (&json!(["daemon"]), 0));
    run.signal(Signal::SIGTERM);
    assert!(!run.finish().stderr.contains("unknown origin"));
}

#[test]
fn processes_that_hop_are_killed_and_named() {
    let (run, ended, left) = daemon("hoppers");
    let names = ended["left_behind"].as_array().unwrap();
    assert!(names.len() >= 4 && names.iter().all(|name| name == "daemon"), "{ended}");
    assert_eq!(left, 0);
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_vast_environment_costs_the_supervisor_neither_memory_nor_time() {
    let began = Instant::now();
    let (run, _, _) = daemon("vast");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    let peak = procfs::status_kib(run.supervisor(), "VmHWM");
    assert!(peak < 64 << 10, "{peak} KiB");
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_worker_cannot_blame_another_for_its_own_processes() {
    let script = "name=$(env | sed -n 's/^\\(SUPERVISOR_RUN_[0-9A-F]*\\)=.*/\\1/p')
                  [ $SUPERVISOR_WORKER = 1 ] && (setsid env \"$name=w2.1\" sleep 999 &)
                  echo up; exec sleep 1000";
    let run = Run::sh(script).with("--workers 2").jsonl().start();
    (1..=2).for_each(|worker| run.stdout.line(worker, "up"));
    let has_args = |pid: &i32| {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|args| args == b"sleep\x00999\0")
    };
    let daemons = || procfs::descendants(run.pid()).iter().filter(|pid| has_args(pid)).count();
    until("the daemon runs", || daemons() == 1);
    send(run.first_pids(2)[1], Signal::SIGKILL);
    assert_eq!(run.stdout.record("ended", 2, 1).get("left_behind"), None);
    assert_eq!(daemons(), 1);
    run.signal(Signal::SIGTERM);
    run.finish();
}
