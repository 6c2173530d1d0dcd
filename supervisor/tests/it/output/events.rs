//! `--events` records everything that happens: the records add up to the counters of the run.

use std::{collections::HashMap, fs, fs::File, io::Read};

use crate::support::{Finished, Run, Signal, Value, load, tap};

/// Finishes the run and returns the events that it wrote.
fn with_events(run: Run) -> (Finished, Vec<Value>) {
    let path = run.scratch.file("events", "", 0o644);
    let run = run.with("--events events").start();
    let mut file = File::open(path).unwrap();
    let run = run.finish();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let events = tap::records(&text);
    assert_eq!(events.len(), text.lines().count(), "each line is a record");
    (run, events)
}

fn of_kind<'a>(events: &'a [Value], kind: &'a str) -> impl Iterator<Item = &'a Value> {
    events.iter().filter(move |event| event["type"] == kind)
}

/// Adds up the records and compares the sums with the last record.
fn check_sums(events: &[Value]) -> &Value {
    assert_eq!((&events[0]["type"], &events[0]["schema"]), (&"begin".into(), &1.into()));
    let end = events.last().unwrap();
    assert_eq!(end["type"], "end", "{end}");
    assert_eq!(of_kind(events, "end").count(), 1);
    let mut sums: HashMap<&str, u64> = HashMap::new();
    let mut attempts = 0;
    for job in of_kind(events, "job") {
        *sums.entry(job["status"].as_str().unwrap()).or_default() += 1;
        attempts += job["attempt"].as_u64().unwrap_or(0);
    }
    let sum = |name| sums.get(name).copied().unwrap_or(0);
    assert_eq!(end["accepted"], sums.values().sum::<u64>());
    assert_eq!(end["ok"], sum("ok"));
    assert_eq!(end["failed"], sum("failed") + sum("too_long"));
    assert_eq!(end["quarantined"], sum("quarantined"));
    assert_eq!(end["not_run"], sum("not_run"));
    assert_eq!((&end["queued"], &end["in_flight"]), (&0.into(), &0.into()));
    assert_eq!(end["retried"], of_kind(events, "retried").count());
    let tried = of_kind(events, "job").filter(|job| !job["attempt"].is_null()).count() as u64;
    assert_eq!(attempts, tried + end["retried"].as_u64().unwrap());
    let mut ids: Vec<_> = of_kind(events, "job").map(|job| job["id"].as_u64().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.iter().copied().eq(1..=ids.len() as u64), "each job ends once");
    let times: Vec<_> = events.iter().filter_map(|event| event["at_ms"].as_f64()).collect();
    assert!(times.is_sorted(), "{times:?}");
    for ended in of_kind(events, "ended").filter(|ended| !ended["pid"].is_null()) {
        let starts = of_kind(events, "started").filter(|start| start["pid"] == ended["pid"]);
        assert_eq!(starts.count(), 1, "{ended}");
    }
    end
}

#[test]
fn events_add_up_to_the_final_counters() {
    let jobs: String = (0..3000).map(|n| if n % 10 == 0 { "bad\n" } else { "good\n" }).collect();
    let script = "[ {} = good ] || exit 3";
    let run = Run::each_sh(script).with("-j 4 --retries 1 --retry-delay 0s").fed(jobs);
    let (run, events) = with_events(run);
    let end = check_sums(&events);
    assert_eq!((&end["status"], &end["failed"]), (&"failed".into(), &300.into()));
    assert_eq!((&end["ok"], &end["retried"]), (&2700.into(), &300.into()));
    let failed = of_kind(&events, "job").find(|job| job["status"] == "failed").unwrap();
    assert_eq!((&failed["cause"], &failed["why"]), (&"exit".into(), &"code 3".into()));
    assert_eq!((&failed["input"], &failed["attempt"]), (&"bad".into(), &2.into()));
    let sum = "3000 jobs: 2700 ok, 300 failed; 300 tried again";
    assert!(run.summary().starts_with(sum), "{}", run.summary());
}

#[test]
fn events_cover_a_million_jobs() {
    let _busy = load::busy();
    let jobs = "x\n".repeat(1_000_000);
    let (run, events) = with_events(Run::worker("echo").with("-w 2 --output none").fed(jobs));
    let end = check_sums(&events);
    assert_eq!((run.code(), &end["ok"]), (Some(0), &1_000_000.into()));
}

#[test]
fn events_carry_the_causes_of_crashes() {
    let run = Run::worker("work").with("-w 2").given(["segv", "exit 7", "fine", "fail x"]);
    let (run, events) = with_events(run);
    let end = check_sums(&events);
    assert_eq!(run.code(), Some(1), "{}", run.stderr);
    assert_eq!([&end["quarantined"], &end["failed"], &end["ok"]], [&2, &1, &1], "{end}");
    let ends: Vec<_> =
        of_kind(&events, "ended").filter(|ended| ended["signal"] == "SIGSEGV").collect();
    assert_eq!((ends.len(), &ends[0]["cause"]), (2, &"signal".into()));
}

#[test]
fn events_of_a_stopped_run_count_jobs_not_run() {
    let run = Run::each_sh("[ {} = 1 ] && sleep 60; echo done").with("-j 1");
    let path = run.scratch.file("events", "", 0o644);
    let run = run.with("--events events --grace 100ms").given(["1", "2", "3"]).start();
    crate::support::until("the command runs", || {
        fs::read_to_string(&path).unwrap().contains("\"started\"") && run.processes().len() > 2
    });
    let mut file = File::open(&path).unwrap();
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    let events = tap::records(&text);
    let end = check_sums(&events);
    assert_eq!((run.signal(), &end["status"]), (Some(Signal::SIGTERM), &"stopped".into()));
    assert_eq!(of_kind(&events, "shutting_down").next().unwrap()["why"], "SIGTERM");
    assert!(end["not_run"].as_u64().unwrap() >= 1, "{end}");
}

#[test]
fn events_cover_plain_workers() {
    let (run, events) = with_events(Run::sh("exit 3").with("-w 2"));
    let end = check_sums(&events);
    assert_eq!((run.code(), &end["status"]), (Some(1), &"failed".into()));
    assert_eq!((of_kind(&events, "started").count(), of_kind(&events, "ended").count()), (2, 2));
}

#[test]
fn an_unwritable_events_file_stops_the_run() {
    let run = Run::each(["true"]).with("--events /nowhere/events").given(["x"]).finish();
    assert!(run.stderr.contains("--events /nowhere/events cannot be written"), "{}", run.stderr);
    let run = Run::each(["sleep"]).with("--events /dev/full").given(["60"]).finish();
    assert_eq!(run.code(), Some(5));
    assert!(run.stderr.contains("--events /dev/full cannot be written"), "{}", run.stderr);
}
