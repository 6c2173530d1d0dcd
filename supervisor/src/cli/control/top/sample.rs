//! A sample run for layout tests.

use std::time::Duration;

use pool::{event::WorkerId, job};
use records::{
    Attempt, Count, CurrentJob, Failure, Jobs, LastWorker, Millis, RunInfo, SCHEMA, Sample,
    ServiceTime, Snapshot, Tally, Worker, WorkerRef,
};

pub(super) fn ms(millis: u64) -> Millis {
    Duration::from_millis(millis).into()
}

/// Returns the snapshot of a run whose workers are all busy.
pub(super) fn run(workers: u32) -> Snapshot {
    let sample = |second: u64| Sample {
        at_ms: ms(second * 1000),
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
            began_unix_ms: ms(5),
            workers,
            has_jobs: true,
            total: Some(2000),
        },
        at_ms: ms(30_500),
        state: "running".into(),
        status: None,
        why: None,
        workers_wanted: workers,
        workers: (1..=workers).map(worker).collect(),
        jobs: Jobs {
            total: Some(2000),
            running: 4,
            tally: Tally {
                accepted: 990,
                ok: 897,
                failed: 2,
                quarantined: 1,
                interrupted: 0,
                not_run: 0,
                queued: 80,
                in_flight: 10,
                retried: 3,
            },
        },
        failed: vec![Count { status: Some("failed".into()), cause: "exit".into(), count: 3 }],
        attempts: Vec::new(),
        restarts: vec![Count { status: None, cause: "outside".into(), count: 1 }],
        service: ServiceTime {
            count: 0,
            sum_ms: ms(0),
            p50_ms: None,
            p99_ms: None,
            buckets: Vec::new(),
        },
        failures: (1..=3).map(failure).collect(),
        history: (1..=30).map(sample).collect(),
        dropped_bytes: 0,
    }
}

fn worker(slot: u32) -> Worker {
    let last = LastWorker {
        generation: 0,
        pid: Some(77),
        cause: "outside".into(),
        why: "code 137 (SIGKILL, outside)".into(),
    };
    let job = CurrentJob {
        id: u64::from(slot) + 900,
        attempt: 1,
        input: format!("input of {slot}"),
        began_ms: ms(28_000),
        progress: None,
    };
    Worker {
        id: WorkerRef { worker: slot, generation: 1, pid: Some(slot.cast_signed() + 5000) },
        state: "ready".into(),
        started_ms: Some(ms(400)),
        memory_bytes: Some(5 << 20),
        job: Some(job),
        restarts: 0,
        last: (slot == 1).then_some(last),
    }
}

fn failure(number: u64) -> Failure {
    let attempt = Attempt::brief(&job::Attempt {
        number: 1,
        worker: WorkerId { slot: 1, generation: 1 },
        pid: 5,
        began: Duration::from_millis(1),
        took: Duration::from_millis(2),
        peak_bytes: None,
        hang: None,
        end: job::AttemptEnd::Lost,
    });
    Failure {
        number,
        at_ms: ms(number * 10_000),
        id: number * 7,
        position: number,
        input: format!("bad {number}"),
        status: "failed".into(),
        cause: "exit".into(),
        why: "code 3".into(),
        attempts: vec![attempt.clone(), attempt],
    }
}
