//! A signal stops the run: the supervisor forwards the stop signal once, kills after the grace
//! period, and ends by the signal that it received.

use std::{
    os::unix::process::ExitStatusExt,
    process::Command,
    time::{Duration, Instant},
};

use crate::support::{Finished, Run, Running, Signal, procfs, send, until};
use serde_json::json;

/// Prints a line per stop signal, and takes long enough to stop that a second signal would show.
const POLITE: &str = "sleep 1000 & trap 'echo asked; kill $! 2>/dev/null' TERM; echo up; \
                      wait $!; wait; sleep 0.3; echo bye";
const STUBBORN: &str = "trap '' TERM; echo up; exec sleep 1000";

/// Starts the run and waits until its workers handle signals.
fn up(run: Run, workers: usize) -> Running {
    let run = run.with(&format!("--workers {workers}")).jsonl().start();
    run.first_pids(workers);
    (1..=workers).for_each(|worker| run.stdout.line(worker, "up"));
    run
}

fn count(run: &Finished, line: &str) -> usize {
    run.records("output").iter().filter(|record| record["line"] == line).count()
}

/// Checks that each worker received the stop signal once and ended by itself.
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
fn each_stop_signal_is_forwarded_once_and_ends_the_run_by_that_signal() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        let run = up(Run::sh(POLITE), 3);
        run.signal(signal);
        let run = run.finish();
        stopped_politely(&run, 3);
        assert_eq!(run.signal(), Some(signal));
        let says = format!("supervisor: {signal}: stopping: what runs has ");
        let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
        assert!(message.starts_with(&says), "{message}");
    }
}

#[test]
fn every_signal_that_would_be_fatal_stops_the_run_like_term() {
    for (number, name) in [
        (12, "SIGUSR2"),
        (14, "SIGALRM"),
        (16, "SIGSTKFLT"),
        (24, "SIGXCPU"),
        (25, "SIGXFSZ"),
        (26, "SIGVTALRM"),
        (27, "SIGPROF"),
        (29, "SIGIO"),
        (30, "SIGPWR"),
        (34, "SIGRTMIN"),
        (64, "SIGRTMIN+30"),
    ] {
        let run = up(Run::sh(POLITE), 1);
        let (number_text, pid) = (number.to_string(), run.pid().to_string());
        let sent = Command::new("sh").args(["-c", "kill -$0 $1", &number_text, &pid]).status();
        assert!(sent.unwrap().success());
        let run = run.finish();
        stopped_politely(&run, 1);
        assert_eq!(run.status.signal(), Some(number), "{name}");
        let says = format!("supervisor: {name}: stopping: what runs has ");
        let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
        assert!(message.starts_with(&says), "{message}");
    }
}

#[test]
fn stop_signal_selects_the_signal() {
    let script = POLITE.replace("TERM", "INT");
    let run = up(Run::sh(&script).with("--stop-signal INT"), 2);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    stopped_politely(&run, 2);
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn death_by_the_stop_signal_is_not_a_failure() {
    let run = up(Run::sh("echo up; exec sleep 1000").with("--stop-signal RTMIN+3"), 1);
    run.signal(Signal::SIGTERM);
    let ended = run.finish().records("ended").remove(0);
    assert_eq!((&ended["cause"], &ended["code"]), (&json!("shutdown"), &json!(165)));
    assert_eq!(ended["signal"], "SIGRTMIN+3");
}

#[test]
fn a_worker_that_ignores_the_stop_signal_is_killed_after_the_grace_period() {
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
fn a_second_signal_kills_only_after_a_second() {
    let run = up(Run::sh(STUBBORN).with("--grace 60s"), 2);
    let begun = Instant::now();
    // Signals within a second of the first count as the first, so repeat it.
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
fn the_run_ends_by_the_first_signal() {
    let run = up(Run::sh(POLITE), 1);
    run.signal(Signal::SIGINT);
    run.stdout.line(1, "asked");
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    stopped_politely(&run, 1);
    assert_eq!(run.signal(), Some(Signal::SIGINT));
}

#[test]
fn signals_from_timeout_count_once() {
    // `timeout` signals its child and then its group, which includes the supervisor.
    let run = Run::sh(POLITE).under(["timeout", "2"]).jsonl().finish();
    stopped_politely(&run, 1);
    assert_eq!(run.code(), Some(124));
}

#[test]
fn a_suspended_worker_ends_with_the_run() {
    let run = up(Run::sh(POLITE), 2);
    let pids = run.first_pids(2);
    send(pids[0], Signal::SIGSTOP);
    until("the stop", || procfs::stat(pids[0]).is_some_and(|stat| stat.state == 'T'));
    run.signal(Signal::SIGTERM);
    stopped_politely(&run.finish(), 2);
}

#[test]
fn a_stop_during_startup_reaches_every_worker() {
    let run = Run::sh(STUBBORN).with("--workers 64 --grace 300ms").jsonl().start();
    run.stdout.record("started", 1, 1);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    assert_eq!(run.records("slot").len(), 64);
    assert!(run.records("ended").iter().all(|ended| ended["cause"] == "shutdown"));
}

#[test]
fn usr1_prints_the_table_without_stopping_the_run() {
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
    // Earlier signals would have been handled before this one.
    run.signal(Signal::SIGUSR1);
    run.stderr.until("a table", |text| text.contains("running").then_some(()));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
    assert!(message.starts_with("supervisor: SIGTERM: stopping: "), "{message}");
    assert_eq!((count(&run, "asked"), count(&run, "bye")), (1, 1));
}
