//! Snapshots, as `ps`, `why`, `top` and the page read them.

use super::*;
use crate::{
    AbsentRun, Attempt as AttemptRecord, Bucket, Count, CurrentJob, Failure as FailureRecord, Jobs,
    LastWorker, Millis, Progress, RunInfo, SCHEMA, Sample, ServiceTime, Snapshot, Tally, Worker,
    WorkerRef,
};

fn ms(millis: u64) -> Millis {
    Duration::from_millis(millis).into()
}

fn workers() -> [Worker; 2] {
    let busy = Worker {
        id: WorkerRef::new(WORKER, Some(5)),
        state: "ready".into(),
        started_ms: Some(ms(40)),
        memory_bytes: Some(4096),
        job: Some(CurrentJob {
            id: 17,
            attempt: 1,
            input: "x".into(),
            began_ms: ms(45),
            progress: Some(Progress { fraction: 0.5, note: "half".into() }),
        }),
        restarts: 6,
        last: Some(LastWorker {
            generation: 6,
            pid: Some(4),
            cause: "signal".into(),
            why: "code 139 (SIGSEGV)".into(),
        }),
    };
    let empty = Worker {
        id: WorkerRef { worker: 3, generation: 0, pid: None },
        state: "empty".into(),
        started_ms: None,
        memory_bytes: None,
        job: None,
        restarts: 0,
        last: None,
    };
    [busy, empty]
}

fn failure() -> FailureRecord {
    FailureRecord {
        number: 1,
        at_ms: ms(50),
        id: 16,
        position: 16,
        input: "segv".into(),
        status: "quarantined".into(),
        cause: "signal".into(),
        why: "its worker died: code 139 (SIGSEGV, core dumped)".into(),
        attempts: vec![AttemptRecord::brief(&crash(2))],
    }
}

fn snapshot() -> Snapshot {
    let count = |status: Option<&'static str>, cause: &'static str| Count {
        status: status.map(Into::into),
        cause: cause.into(),
        count: 1,
    };
    Snapshot {
        schema: SCHEMA,
        run: RunInfo {
            id: "k3f9".into(),
            name: None,
            pid: 1,
            version: "0.1.0".into(),
            title: "./worker".into(),
            began_unix_ms: ms(5),
            workers: 3,
            has_jobs: true,
            total: Some(20),
        },
        at_ms: ms(1200),
        state: "ended".into(),
        status: Some("stopped".into()),
        why: Some("SIGTERM".into()),
        workers_wanted: 3,
        workers: workers().into(),
        jobs: Jobs {
            total: Some(20),
            running: 1,
            tally: Tally {
                accepted: 17,
                ok: 15,
                failed: 0,
                quarantined: 1,
                interrupted: 0,
                not_run: 0,
                queued: 0,
                in_flight: 1,
                retried: 1,
            },
        },
        failed: vec![count(Some("quarantined"), "signal")],
        attempts: vec![count(None, "ok")],
        restarts: vec![count(None, "signal")],
        service: ServiceTime {
            count: 16,
            sum_ms: ms(320),
            p50_ms: Some(ms(20)),
            p99_ms: None,
            buckets: vec![Bucket { below_ns: 1024, count: 3 }],
        },
        failures: vec![failure()],
        history: vec![Sample { at_ms: ms(1000), settled: 9, failed: 1, memory_bytes: None }],
        dropped_bytes: 6,
    }
}

const GOLDEN_WORKERS: &str = r#"[{"worker":2,"generation":7,"pid":5,"state":"ready","started_ms":40.0,"memory_bytes":4096,"job":{"id":17,"attempt":1,"input":"x","began_ms":45.0,"progress":{"fraction":0.5,"note":"half"}},"restarts":6,"last":{"generation":6,"pid":4,"cause":"signal","why":"code 139 (SIGSEGV)"}},{"worker":3,"generation":0,"state":"empty","restarts":0}]"#;

const GOLDEN_FAILURE: &str = r#"{"number":1,"at_ms":50.0,"id":16,"position":16,"input":"segv","status":"quarantined","cause":"signal","why":"its worker died: code 139 (SIGSEGV, core dumped)","attempts":[{"attempt":2,"worker":2,"generation":7,"pid":4123,"began_ms":12.3,"duration_ms":1.5,"cause":"signal","sender":"itself","why":"its worker died: code 139 (SIGSEGV, core dumped)","peak_bytes":99,"peak_exact":true,"last_output":"last words"}]}"#;

#[test]
fn golden_workers() {
    assert_eq!(text(&workers()), GOLDEN_WORKERS);
}

#[test]
fn golden_failure() {
    assert_eq!(text(&failure()), GOLDEN_FAILURE);
}

#[test]
fn golden_snapshot() {
    let golden = format!(
        r#"{{"schema":1,"run":{{"id":"k3f9","pid":1,"version":"0.1.0","title":"./worker","began_unix_ms":5.0,"workers":3,"has_jobs":true,"total":20}},"at_ms":1200.0,"state":"ended","status":"stopped","why":"SIGTERM","workers_wanted":3,"workers":{GOLDEN_WORKERS},"jobs":{{"total":20,"running":1,"accepted":17,"ok":15,"failed":0,"quarantined":1,"interrupted":0,"not_run":0,"queued":0,"in_flight":1,"retried":1}},"failed":[{{"status":"quarantined","cause":"signal","count":1}}],"attempts":[{{"cause":"ok","count":1}}],"restarts":[{{"cause":"signal","count":1}}],"service":{{"count":16,"sum_ms":320.0,"p50_ms":20.0,"buckets":[{{"below_ns":1024,"count":3}}]}},"failures":[{GOLDEN_FAILURE}],"history":[{{"at_ms":1000.0,"settled":9,"failed":1}}],"dropped_bytes":6}}"#
    );
    assert_eq!(text(&snapshot()), golden);
    let read: Snapshot = serde_json::from_str(&golden).unwrap();
    assert_eq!(text(&read), golden, "what was written can be read back");
}

#[test]
fn golden_run_without_a_snapshot() {
    let mut run = AbsentRun { schema: SCHEMA, run: None, state: "gone" };
    assert_eq!(text(&run), r#"{"schema":1,"state":"gone"}"#);
    run.run = Some(snapshot().run);
    run.state = "no_answer";
    let golden = r#"{"schema":1,"run":{"id":"k3f9","pid":1,"version":"0.1.0","title":"./worker","began_unix_ms":5.0,"workers":3,"has_jobs":true,"total":20},"state":"no_answer"}"#;
    assert_eq!(text(&run), golden);
}

#[test]
fn the_output_of_an_attempt_is_text_and_one_stream() {
    let mut bad = crash(1);
    assert_eq!(AttemptRecord::brief(&bad).output(), "last words");
    bad.end = AttemptEnd::Crashed(death(Cause::Exit, b"\xff"));
    assert_eq!(AttemptRecord::brief(&bad).output(), "\u{fffd}");
    bad.end = AttemptEnd::Lost;
    assert_eq!(AttemptRecord::brief(&bad).output(), "");
}
