//! A run that there is not, to be drawn.

use supervisor::{
    model::{RunInfo, SCHEMA},
    observe::snapshot::{
        Attempt, Count, Current, Failure, Jobs, Last, Sample, Service, Snapshot, Worker,
    },
};

/// Of so many workers, all busy.
pub(super) fn run(workers: u32) -> Snapshot {
    let sample = |second: u64| Sample {
        at_ms: second * 1000,
        settled: second * second,
        failed: 0,
        memory_bytes: Some(second << 20),
    };
    Snapshot {
        schema: SCHEMA,
        run: RunInfo {
            id: "k3f9".into(),
            name: Some("nightly".into()),
            pid: 4122,
            version: "1".into(),
            title: "./worker --fast".into(),
            began_unix_ms: 5,
            workers,
            has_jobs: true,
            total: Some(2000),
        },
        at_ms: 30_500,
        state: "running".into(),
        why: None,
        workers: (1..=workers).map(worker).collect(),
        jobs: Jobs {
            total: Some(2000),
            accepted: 990,
            ok: 897,
            failed: 2,
            crashed: 1,
            not_run: 0,
            queued: 80,
            in_flight: 10,
            running: 4,
            tried_again: 3,
        },
        failed: vec![Count { outcome: Some("failed".into()), cause: "exit".into(), count: 3 }],
        attempts: Vec::new(),
        restarts: vec![Count { outcome: None, cause: "outside".into(), count: 1 }],
        service: Service { count: 0, sum_s: 0.0, p50_ms: None, p99_ms: None, below_s: Vec::new() },
        failures: (1..=3).map(failure).collect(),
        history: (1..=30).map(sample).collect(),
        dropped_bytes: 0,
    }
}

fn worker(slot: u32) -> Worker {
    let last = Last {
        life: 0,
        pid: Some(77),
        cause: "outside".into(),
        why: "code 137 (SIGKILL, outside)".into(),
    };
    let job = Current {
        id: u64::from(slot) + 900,
        attempt: 1,
        input: format!("input of {slot}"),
        since_ms: 28_000,
    };
    Worker {
        worker: slot,
        life: 1,
        pid: Some(slot.cast_signed() + 5000),
        state: "ready".into(),
        since_ms: Some(400),
        memory_bytes: Some(5 << 20),
        job: Some(job),
        restarts: 0,
        last: (slot == 1).then_some(last),
    }
}

fn failure(number: u64) -> Failure {
    let attempt = Attempt {
        attempt: 1,
        worker: 1,
        life: 1,
        pid: 5,
        began_ms: 1,
        ms: 2.0,
        cause: "exit".into(),
        why: "code 3".into(),
        output: String::new(),
    };
    Failure {
        number,
        at_ms: number * 10_000,
        id: number * 7,
        position: number,
        input: format!("bad {number}"),
        outcome: "failed".into(),
        cause: "exit".into(),
        why: "code 3".into(),
        attempts: vec![attempt.clone(), attempt],
    }
}
