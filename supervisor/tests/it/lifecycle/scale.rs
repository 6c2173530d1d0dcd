//! Hundreds of workers start, are reported and stop, without taking long.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use crate::support::{Run, Signal, load, procfs, until};

#[test]
fn five_hundred_and_twelve_workers_start_and_are_reported() {
    let _quiet = load::quiet();
    let begun = Instant::now();
    let run = Run::of(["true"]).with("--workers 512").jsonl().finish();
    assert_eq!(run.code(), Some(0));
    let pids: BTreeSet<_> =
        run.records("started").iter().map(|record| record["pid"].as_i64()).collect();
    assert_eq!(pids.len(), 512);
    for kind in ["ended", "slot"] {
        let records = run.records(kind);
        let numbers: BTreeSet<_> = records.iter().map(|record| record["worker"].as_u64()).collect();
        assert_eq!((records.len(), numbers.len()), (512, 512));
        assert!(records.iter().all(|record| record["code"] == 0));
    }
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
}

#[test]
fn two_hundred_workers_run_and_stop_together() {
    let run = Run::of(["sleep", "1000"]).with("--workers 200").jsonl().start();
    let pids = run.first_pids(200);
    assert!(pids.iter().all(|pid| procfs::is_alive(*pid)));
    until("two hundred children", || run.workers().len() == 200);
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let ended = run.records("ended");
    assert!(ended.len() == 200 && ended.iter().all(|record| record["cause"] == "shutdown"));
    assert_eq!(run.signal(), Some(Signal::SIGTERM));
}

#[test]
fn the_records_of_a_worker_are_in_order() {
    let run = Run::sh("echo a; echo b").with("--workers 100").jsonl().finish();
    let mut generations = BTreeMap::<u64, Vec<String>>::new();
    for record in crate::support::tap::records(run.stdout_text()) {
        let what = record["line"].as_str().or_else(|| record["type"].as_str()).unwrap();
        generations.entry(record["worker"].as_u64().unwrap()).or_default().push(what.into());
    }
    assert_eq!(generations.len(), 100);
    for (worker, records) in generations {
        assert_eq!(records, ["started", "a", "b", "ended", "slot"], "worker {worker}");
    }
}
