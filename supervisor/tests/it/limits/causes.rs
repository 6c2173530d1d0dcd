//! Records carry the exact exit code, signal and cause of every worker's end.

use crate::support::{Finished, Run, Signal, Value, fixture, jobs::causes};
use serde_json::json;

#[test]
fn records_carry_every_exit_code() {
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

/// Signals that stop a process or are ignored by default: SIGCHLD to SIGURG, and SIGWINCH.
const NOT_FATAL: [i32; 8] = [17, 18, 19, 20, 21, 22, 23, 28];
/// Signals that a program causes itself: ILL TRAP ABRT BUS FPE SEGV PIPE ALRM XCPU XFSZ VTALRM
/// SYS.
const OWN: [i32; 12] = [4, 5, 6, 7, 8, 11, 13, 14, 24, 25, 26, 31];

#[test]
fn records_carry_every_fatal_signal() {
    // A signal that stops the worker would block the test.
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
fn a_core_dump_is_reported() {
    use nix::sys::resource::{Resource, getrlimit};
    // A core pattern with a pipe or a path would leave a file elsewhere.
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
fn out_of_memory_is_certain_and_affects_one_worker() {
    let script = "if [ $SUPERVISOR_WORKER = 2 ]; then exec \"$0\"; else exec sleep 1000; fi";
    let run = Run::of(["sh", "-c", script, &fixture("leak")]);
    let run = run.with("--workers 4 --memory 64M --limit core=0").jsonl().start();
    let ended = run.stdout.record("ended", 2, 1);
    assert_eq!((&ended["cause"], &ended["certainty"]), (&json!("memory"), &json!("sure")));
    assert_eq!(ended["signal"], "SIGABRT");
    // Code and libraries are resident, too, but do not count towards the limit.
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
fn the_cpu_limit_is_distinguished_from_other_kills() {
    // The second worker ignores SIGXCPU and gets SIGKILL a second later.
    let script = "[ $SUPERVISOR_WORKER = 1 ] || trap '' XCPU; while :; do :; done";
    let run = Run::sh(script).with("--workers 2 --limit cpu=1,core=0").jsonl().finish();
    let records = by_worker(&run, "ended");
    for (record, signal) in records.iter().zip(["SIGXCPU", "SIGKILL"]) {
        assert_eq!((&record["cause"], &record["signal"]), (&json!("cpu_limit"), &json!(signal)));
    }
    assert_eq!((records.len(), run.code()), (2, Some(1)));
}

#[test]
fn a_cpu_limit_counts_wherever_it_comes_from() {
    let spin = "trap '' XCPU; while :; do :; done";
    let inherited = Run::sh(spin).after("ulimit -t 1").jsonl().finish();
    let own = Run::sh(&format!("ulimit -t 1; {spin}")).jsonl().finish();
    for run in [inherited, own] {
        let ended = &run.records("ended")[0];
        let how = (&ended["cause"], &ended["signal"]);
        assert_eq!(how, (&json!("cpu_limit"), &json!("SIGKILL")), "{ended}");
    }
    let run = Run::each_sh(spin).after("ulimit -t 1").jsonl().given(["x"]).finish();
    assert_eq!(causes(&run.jobs()[0]), ["cpu_limit"]);
}

#[test]
fn a_failure_beside_the_limit_is_called_out_of_memory_whatever_it_says() {
    let script = "import sys; b = bytearray(int(sys.argv[1]) << 20); sys.exit(3)";
    for (mib, cause) in [("118", "memory"), ("60", "exit")] {
        let run = Run::of(["python3", "-c", script, mib]).with("--memory 128M").jsonl().finish();
        assert_eq!(run.records("ended")[0]["cause"], cause, "{mib}: {}", run.stdout_text());
    }
}

#[test]
fn a_failure_far_below_the_limit_is_not_called_out_of_memory() {
    let script = "echo 'Cannot allocate memory' >&2; exit 1";
    let run = Run::sh(script).jsonl().finish();
    assert_eq!(run.records("ended")[0]["cause"], "exit");
}

fn by_worker(run: &Finished, kind: &str) -> Vec<Value> {
    let mut records = run.records(kind);
    records.sort_by_key(|record| record["worker"].as_u64());
    records
}
