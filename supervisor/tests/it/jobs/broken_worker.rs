//! A worker that lives and fails every job costs few jobs: it is replaced, and what it failed is
//! retried elsewhere.

use crate::support::{Finished, Run, Value};

/// A run of a job that breaks its worker and of 200 others.
fn broken(options: &str) -> Finished {
    let text = "break\n".to_owned() + &"sleep 5\n".repeat(200);
    let run = Run::worker("work").with(options).jsonl().fed(text).finish();
    assert_eq!(run.jobs().len(), 201);
    run
}

fn failed(run: &Finished) -> usize {
    run.statuses().iter().filter(|status| *status == "failed").count()
}

/// The workers that were stopped because of their failures.
fn replaced(run: &Finished) -> Vec<Value> {
    let ended = run.records("ended").into_iter();
    ended.filter(|record| record["cause"] == "failing").collect()
}

#[test]
fn a_broken_worker_costs_few_jobs() {
    for options in ["--workers 2", "--workers 4"] {
        let run = broken(options);
        assert!(failed(&run) < 20, "{options}: {}", run.stderr);
        assert_eq!(replaced(&run).len(), 1, "{options}: {}", run.stderr);
        assert!(run.stderr.contains("failed job after job); replaced at once"), "{}", run.stderr);
    }
}

#[test]
fn with_retries_a_broken_worker_costs_no_job() {
    for options in ["--workers 2 --retries 2", "--workers 4 --retries 2 --retry-delay 0"] {
        let run = broken(options);
        assert_eq!(failed(&run), 0, "{options}: {}", run.stderr);
    }
}

#[test]
fn the_only_worker_is_replaced_when_it_breaks() {
    let run = broken("--workers 1 --retries 2 --retry-delay 0");
    assert!(failed(&run) <= 1, "{}", run.stderr);
}

#[test]
fn a_number_of_failures_in_a_row_may_be_set() {
    let run = broken("--workers 1 --recycle-failures 4 --depth 1");
    assert_eq!((failed(&run), replaced(&run).len()), (4, 1), "{}", run.stderr);
    let run = broken("--workers 1 --recycle-failures never --depth 1");
    assert_eq!((failed(&run), replaced(&run).len()), (200, 0), "{}", run.stderr);
}

#[test]
fn where_every_job_fails_the_workers_are_kept() {
    for options in ["--workers 1", "--workers 2", "--workers 4 --retries 1 --retry-delay 0"] {
        let run = Run::worker("work").with(options).jsonl().fed("fail here\n".repeat(2000));
        let run = run.finish();
        assert_eq!(failed(&run), 2000);
        assert!(replaced(&run).len() <= 10, "{options}: {} replaced", replaced(&run).len());
    }
}

#[test]
fn a_worker_that_runs_out_of_memory_is_replaced() {
    // The first job leaves no room for the others, each of which fits into a fresh worker.
    let text = "reserve 60\n".to_owned() + &"reserve 60; release\n".repeat(60);
    let run = Run::worker("work").with("--workers 2 --memory 100M").jsonl().fed(text).finish();
    assert!(failed(&run) <= 2, "{}", run.stderr);
}
