//! What a signal to the supervisor does: one polite stop that ends as the signal would, then
//! the kill; and never half of either.

mod support;

use std::time::{Duration, Instant};

use serde_json::json;
use support::{Finished, Run, Running, Signal, procfs, send, until};

/// Says each time it is asked to stop, and takes long enough that a second time would show.
const POLITE: &str = "sleep 1000 & trap 'echo asked; kill $! 2>/dev/null' TERM; echo up; \
                      wait $!; wait; sleep 0.3; echo bye";
const STUBBORN: &str = "trap '' TERM; echo up; exec sleep 1000";

/// Starts it and waits until its workers have come so far as to hear.
fn up(run: Run, workers: usize) -> Running {
    let run = run.with(&format!("--workers {workers}")).jsonl().start();
    run.first_pids(workers);
    (1..=workers).for_each(|worker| run.stdout.line(worker, "up"));
    run
}

fn count(run: &Finished, line: &str) -> usize {
    run.records("output").iter().filter(|record| record["line"] == line).count()
}

/// Each worker was asked once and ended by itself, and the table says so.
fn stopped_politely(run: &Finished, workers: usize) {
    assert_eq!((count(run, "asked"), count(run, "bye")), (workers, workers));
    for record in run.records("ended") {
        assert_eq!((&record["cause"], &record["code"]), (&json!("shutdown"), &json!(0)));
        assert_eq!(record["killed"], false);
    }
    assert_eq!(run.records("slot").len(), workers);
    assert_eq!(run.stderr.matches("asked to stop").count(), workers, "{}", run.stderr);
    assert_eq!(run.stderr.matches("worker ").count(), 1, "{}", run.stderr);
}

#[test]
fn each_stop_signal_asks_once_and_ends_the_run_as_itself() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        let run = up(Run::sh(POLITE), 3);
        run.signal(signal);
        let run = run.finish();
        stopped_politely(&run, 3);
        assert_eq!(run.signal(), Some(signal));
        let says = format!("supervisor: {signal}: stopping");
        assert_eq!(run.messages(), [says]);
    }
}

#[test]
fn the_stop_signal_is_the_one_asked_for() {
    let script = POLITE.replace("TERM", "INT");
    let run = up(Run::sh(&script).with("--stop-signal INT"), 2);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    stopped_politely(&run, 2);
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_worker_that_dies_of_the_stop_signal_was_asked_to() {
    let run = up(Run::sh("echo up; exec sleep 1000").with("--stop-signal RTMIN+3"), 1);
    run.signal(Signal::SIGTERM);
    let ended = run.finish().records("ended").remove(0);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("shutdown"), &json!(165)));
    assert_eq!(ended["signal"], "SIGRTMIN+3");
}

#[test]
fn a_worker_that_does_not_hear_is_killed_after_the_grace() {
    let run = up(Run::sh(STUBBORN).with("--grace 300ms"), 2);
    let begun = Instant::now();
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert!(begun.elapsed() >= Duration::from_millis(300));
    for record in run.records("ended") {
        assert_eq!((&record["cause"], &record["code"]), (&json!("shutdown"), &json!(137)));
        assert_eq!(record["killed"], true);
    }
    assert_eq!(run.stderr.matches("asked to stop: killed").count(), 2, "{}", run.stderr);
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_signal_again_after_a_second_kills_and_sooner_does_not() {
    let run = up(Run::sh(STUBBORN).with("--grace 60s"), 2);
    let begun = Instant::now();
    // Again and again: what comes within a second of the first counts as the first.
    until("the kill", || {
        run.signal(Signal::SIGTERM);
        run.workers().is_empty()
    });
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let run = run.finish();
    assert!(run.records("ended").iter().all(|ended| ended["killed"] == true));
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn the_first_signal_is_the_one_that_ends_the_run() {
    let run = up(Run::sh(POLITE), 1);
    run.signal(Signal::SIGINT);
    run.stdout.line(1, "asked");
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    stopped_politely(&run, 1);
    assert_eq!(run.signal(), Some(Signal::SIGINT));
}

#[test]
fn timeout_asks_once() {
    // It signals its child and then its group, the supervisor among them.
    let run = Run::sh(POLITE).under(["timeout", "2"]).jsonl().finish();
    stopped_politely(&run, 1);
    assert_eq!(run.code(), Some(124));
}

#[test]
fn a_stopped_worker_ends_with_the_run() {
    let run = up(Run::sh(POLITE), 2);
    let pids = run.first_pids(2);
    send(pids[0], Signal::SIGSTOP);
    until("the stop", || procfs::stat(pids[0]).is_some_and(|stat| stat.state == 'T'));
    run.signal(Signal::SIGTERM);
    stopped_politely(&run.finish(), 2);
}

#[test]
fn a_stop_while_workers_still_start_reaches_all() {
    let run = Run::sh(STUBBORN).with("--workers 64 --grace 300ms").jsonl().start();
    run.stdout.record("started", 1, 1);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    assert_eq!(run.records("slot").len(), 64);
    assert!(run.records("ended").iter().all(|ended| ended["cause"] == "shutdown"));
}

#[test]
fn usr1_prints_the_table_and_the_run_goes_on() {
    let run = up(Run::sh(POLITE), 2);
    for tables in 1..=2 {
        run.signal(Signal::SIGUSR1);
        run.stderr
            .until("a table", |text| (text.matches("running").count() == tables * 2).then_some(()));
    }
    let table = run.stderr.text();
    for (worker, pid) in (1..).zip(run.first_pids(2)) {
        assert!(table.contains(&format!("w{worker}.1")), "{table}");
        assert!(table.contains(&format!(" {pid} ")) && procfs::is_alive(pid), "{table}");
    }
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!((count(&run, "asked"), run.signal()), (2, Some(Signal::SIGTERM)));
}

#[test]
fn signals_ignored_at_the_start_stay_ignored() {
    let run = Run::sh(POLITE).after("trap '' HUP INT QUIT");
    let run = up(run, 1);
    [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT].into_iter().for_each(|s| run.signal(s));
    // What came before it would have been heard before it.
    run.signal(Signal::SIGUSR1);
    run.stderr.until("a table", |text| text.contains("running").then_some(()));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    assert_eq!(run.messages(), ["supervisor: SIGTERM: stopping"]);
    assert_eq!((count(&run, "asked"), count(&run, "bye")), (1, 1));
}
