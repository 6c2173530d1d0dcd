//! How a worker ended and why: exact in the records, for every code and every signal.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use serde_json::json;
use support::{Finished, Run, Signal, Value, fixture};

#[test]
fn every_exit_code_is_exact() {
    let run = Run::sh("exit $((SUPERVISOR_WORKER - 1))").with("--workers 256").jsonl().finish();
    for kind in ["ended", "slot"] {
        let records = by_worker(&run, kind);
        assert_eq!(records.len(), 256);
        for (code, record) in records.iter().enumerate() {
            assert_eq!((&record["worker"], &record["code"]), (&json!(code + 1), &json!(code)));
            assert_eq!((&record["cause"], &record["signal"]), (&json!("exit"), &Value::Null));
        }
    }
    assert_eq!(run.code(), Some(1));
}

/// Those that only stop a process, or do nothing: SIGCHLD to SIGURG, and SIGWINCH.
const NOT_FATAL: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];
/// Those that a program brings upon itself: ILL TRAP ABRT BUS FPE SEGV PIPE ALRM XCPU XFSZ
/// VTALRM SYS.
const OWN: [i32; 12] = [4, 5, 6, 7, 8, 11, 13, 14, 24, 25, 26, 31];

#[test]
fn every_fatal_signal_is_exact() {
    // One that only stops would wait here for ever.
    let script = "case $SUPERVISOR_WORKER in 19|2[012]) ;; *) kill -$SUPERVISOR_WORKER $$;; esac";
    let run = Run::sh(script).with("--workers 64 --limit core=0").jsonl().finish();
    let records = by_worker(&run, "ended");
    assert_eq!(records.len(), 64);
    for (number, record) in (1..).zip(&records) {
        if NOT_FATAL.contains(&number) {
            assert_eq!((&record["cause"], &record["code"]), (&json!("exit"), &json!(0)));
            continue;
        }
        let sender = if OWN.contains(&number) { "itself" } else { "outside" };
        let expected = json!({
            "cause": "signal", "code": 128 + number, "signal": name(number),
            "core": false, "sender": sender,
        });
        for (field, value) in expected.as_object().unwrap() {
            assert_eq!(record[field], *value, "{field} of signal {number}");
        }
    }
}

fn name(number: i32) -> String {
    match number {
        32 | 33 => format!("signal {number}"),
        34 => "SIGRTMIN".into(),
        35.. => format!("SIGRTMIN+{}", number - 34),
        _ => Signal::try_from(number).unwrap().as_str().into(),
    }
}

#[test]
fn a_core_dump_is_told() {
    use nix::sys::resource::{Resource, getrlimit};
    // A pattern with a pipe or a path would leave a file elsewhere.
    let pattern = std::fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap();
    if pattern.starts_with(['|', '/']) || getrlimit(Resource::RLIMIT_CORE).unwrap().1 == 0 {
        eprintln!("no core dumps to be had here");
        return;
    }
    let run = Run::sh("mkdir cores && cd cores && kill -ABRT $$").with("--limit core=unlimited");
    let run = run.jsonl();
    let cores = run.scratch.path().join("cores");
    let started = run.start();
    let ended = started.stdout.record("ended", 1, 1);
    std::fs::remove_dir_all(cores).unwrap();
    assert_eq!((&ended["core"], &ended["signal"]), (&json!(true), &json!("SIGABRT")));
    assert!(started.finish().stderr.contains("SIGABRT, core dumped"));
}

#[test]
fn out_of_memory_is_sure_and_costs_one_worker() {
    let script = "if [ $SUPERVISOR_WORKER = 2 ]; then exec \"$0\"; else exec sleep 1000; fi";
    let run = Run::of(["sh", "-c", script, &fixture("leak")]);
    let run = run.with("--workers 4 --memory 64M --limit core=0").jsonl().start();
    let ended = run.stdout.record("ended", 2, 1);
    assert_eq!((&ended["cause"], &ended["certainty"]), (&json!("memory"), &json!("sure")));
    assert_eq!(ended["signal"], "SIGABRT");
    // Its code and libraries are resident too, and no part of the limit.
    let peak = ended["peak_bytes"].as_u64().unwrap() >> 20;
    assert!((56..=80).contains(&peak), "{peak} MiB");

    run.signal(Signal::SIGTERM);
    let run = run.finish();
    let records = run.records("ended");
    assert_eq!(records.len(), 4);
    assert_eq!(records[0]["worker"], 2);
    for record in &records[1..] {
        assert_eq!((&record["cause"], &record["code"]), (&json!("shutdown"), &json!(143)));
    }
    assert!(run.stderr.contains("memory (sure)"), "{}", run.stderr);
}

#[test]
fn the_cpu_limit_is_told_from_other_kills() {
    // The second one does not hear SIGXCPU, and gets SIGKILL a second later.
    let script = "[ $SUPERVISOR_WORKER = 1 ] || trap '' XCPU; while :; do :; done";
    let run = Run::sh(script).with("--workers 2 --limit cpu=1,core=0").jsonl().finish();
    let records = by_worker(&run, "ended");
    for (record, signal) in records.iter().zip(["SIGXCPU", "SIGKILL"]) {
        assert_eq!((&record["cause"], &record["signal"]), (&json!("cpu_limit"), &json!(signal)));
    }
    assert_eq!((records.len(), run.code()), (2, Some(1)));
}

#[test]
fn a_worker_that_fails_without_a_limit_near_is_not_called_out_of_memory() {
    let script = "echo 'Cannot allocate memory' >&2; exit 1";
    let run = Run::sh(script).jsonl().finish();
    assert_eq!(run.records("ended")[0]["cause"], "exit");
}

fn by_worker(run: &Finished, kind: &str) -> Vec<Value> {
    let mut records = run.records(kind);
    records.sort_by_key(|record| record["worker"].as_u64());
    records
}
