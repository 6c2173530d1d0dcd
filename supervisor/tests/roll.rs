//! A hang-up that was sent replaces the workers one by one; without restarts it stops the run.

mod support;

use serde_json::json;
use support::{Run, Running, Signal, Value, procfs, tap, until};

/// Two workers under `--restart always` that have become ready.
fn two_ready(options: &str) -> Running {
    let run = Run::sh("echo up; exec sleep 1000").with("--workers 2 --restart always");
    let run = run.with(options).jsonl().start();
    run.first_pids(2);
    run.ready();
    run
}

/// Rolls them; starts and ends so far, in their order: `+w1.2`, `-w1.1`.
fn rolled(run: &Running) -> Vec<String> {
    run.signal(Signal::SIGHUP);
    let done = |text: &str| text.matches("\"cause\":\"rolled\"").count() == 2;
    run.stdout.until("the ends of both", |text| done(text).then_some(()));
    run.stdout.record("started", 2, 2);
    let first = |record: &Value| record["type"] == "started" && record["generation"] == 1;
    let records = tap::records(&run.stdout.text()).into_iter().filter(|record| !first(record));
    records.filter_map(|record| step(&record)).collect()
}

fn step(record: &Value) -> Option<String> {
    let sign = match record["type"].as_str()? {
        "started" => "+",
        "ended" => "-",
        _ => return None,
    };
    Some(format!("{sign}w{}.{}", record["worker"], record["generation"]))
}

fn stop(run: Running) {
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
    let ends = run.records("ended");
    let rolled: Vec<_> = ends.iter().filter(|ended| ended["cause"] == "rolled").collect();
    assert_eq!((rolled.len(), ends.len()), (2, 4));
    assert!(rolled.iter().all(|ended| ended["killed"] == false));
}

#[test]
fn the_new_one_is_there_before_the_old_one_goes() {
    let run = two_ready("");
    assert_eq!(rolled(&run), ["+w1.2", "-w1.1", "+w2.2", "-w2.1"]);
    assert_eq!(run.stdout.record("ended", 1, 1)["next"], "replaced");
    stop(run);
}

#[test]
fn the_old_one_is_gone_before_the_new_one_starts() {
    let run = two_ready("--roll stop-first");
    assert_eq!(rolled(&run), ["-w1.1", "+w1.2", "-w2.1", "+w2.2"]);
    let ended = run.stdout.record("ended", 1, 1);
    assert_eq!((&ended["next"], &ended["after_ms"]), (&json!("restart"), &json!(0)));
    stop(run);
}

#[test]
fn a_new_one_that_does_not_stay_up_calls_the_roll_off() {
    // Only the first of each slot finds its name free.
    let script = "mkdir w$SUPERVISOR_WORKER || exit 1; echo up; exec sleep 1000";
    let run = Run::sh(script).with("--workers 2 --restart always");
    let made = ["w1", "w2"].map(|name| run.scratch.path().join(name));
    let run = run.jsonl().start();
    let pids = run.first_pids(2);
    (1..=2).for_each(|worker| run.stdout.line(worker, "up"));
    run.ready();
    run.signal(Signal::SIGHUP);
    let called_off = |text: &str| text.contains("roll called off: the new w1.2").then_some(());
    run.stderr.until("that the roll is called off", called_off);
    // The old ones serve on.
    assert!(pids.iter().all(|pid| procfs::is_alive(*pid)));
    let children = || run.workers().iter().map(|child| child.pid).collect::<Vec<_>>();
    until("only the old ones", || {
        children().len() == 2 && pids.iter().all(|p| children().contains(p))
    });
    made.iter().for_each(|path| std::fs::remove_dir(path).unwrap());
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().records("started").len(), 3);
}

#[test]
fn without_restarts_a_hang_up_stops_the_run() {
    let run = Run::sh("echo up; exec sleep 1000").with("--workers 2").jsonl().start();
    run.first_pids(2);
    run.signal(Signal::SIGHUP);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGHUP));
    assert!(run.records("ended").iter().all(|ended| ended["cause"] == "shutdown"));
}
