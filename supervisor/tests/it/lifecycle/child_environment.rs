//! A worker inherits nothing from the supervisor but what it is meant to have: descriptors, signals,
//! session and limits.

use crate::support::{Run, Running, Signal, Value, can, fixture};
use nix::sys::resource::{Resource, getrlimit};
use serde_json::json;

/// Starts a worker that reports and stays, looks at it, and stops it.
fn reported(run: Run, look: impl FnOnce(&Running)) -> Value {
    let run = run.jsonl().start();
    let report = run.stdout.report(1);
    look(&run);
    run.signal(Signal::SIGTERM);
    run.finish();
    report
}

fn staying() -> Run {
    Run::of([&fixture("report"), "stay"])
}

fn has_clean_descriptors(report: &Value) {
    let descriptors = report["descriptors"].as_object().unwrap();
    assert_eq!(descriptors.keys().collect::<Vec<_>>(), ["0", "1", "2"], "{report}");
    assert!(descriptors.values().all(|fd| fd["nonblocking"] == false), "{report}");
    let target = |fd: &str| descriptors[fd]["target"].as_str().unwrap();
    assert_eq!(target("0"), "/dev/null");
    assert!(target("1").starts_with("pipe:") && target("2").starts_with("pipe:"), "{report}");
    assert_ne!(target("1"), target("2"));
}

fn has_clean_signals(report: &Value) {
    for set in ["SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt"] {
        assert_eq!(report["status"][set], "0000000000000000", "{set}");
    }
}

#[test]
fn the_memory_of_the_supervisor_belongs_to_root_and_that_of_a_worker_to_its_user() {
    use std::os::unix::fs::MetadataExt;
    if !can(&["setpriv", "--reuid", "65534", "--clear-groups", "true"]) {
        return;
    }
    let run = Run::of(["sleep", "1000"]).under(["setpriv", "--reuid", "65534", "--clear-groups"]);
    let run = run.jsonl().start();
    let worker = run.first_pids(1)[0];
    let owner = |pid: i32| std::fs::metadata(format!("/proc/{pid}/mem")).unwrap().uid();
    assert_eq!([run.pid(), run.supervisor(), worker].map(owner), [0, 0, 65534]);
    run.signal(Signal::SIGTERM);
    run.finish();
}

#[test]
fn a_program_that_has_changed_its_user_can_open_its_output_by_name() {
    let drops = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups"];
    if !can(&[&drops[..], &["true"]].concat()) {
        return;
    }
    let script = "echo out > /dev/stdout; echo err > /dev/stderr; cat < /dev/stdout";
    let argv = [&drops[..], &["sh", "-c", script]].concat();
    for run in [Run::of(&argv), Run::each(&argv).with("--output raw").given(["x"])] {
        let run = run.finish();
        assert!(run.stdout_text().contains("out\n"), "{}", run.stderr);
        assert!(run.stderr.contains("err\n"), "{}", run.stderr);
        assert!(run.stderr.contains("ermission denied"), "it cannot read: {}", run.stderr);
    }
}

#[test]
fn a_worker_has_only_the_three_standard_descriptors() {
    has_clean_descriptors(&reported(staying(), |_| {}));
}

#[test]
fn inherited_descriptors_are_not_passed_on() {
    let run = staying().after("exec 7</dev/null 9</etc/passwd 5>&1");
    let report = reported(run, |run| {
        for fd in [5, 7, 9] {
            let planted = format!("/proc/{}/fd/{fd}", run.supervisor());
            assert!(std::fs::read_link(planted).is_ok(), "{fd} was not planted");
        }
    });
    has_clean_descriptors(&report);
}

#[test]
fn signals_are_at_their_defaults_and_unblocked() {
    has_clean_signals(&reported(staying(), |_| {}));
}

#[test]
fn ignored_and_blocked_signals_are_not_passed_on() {
    // With TERM ignored the supervisor could not be stopped, so these workers end by themselves.
    for what in ["ignore", "both"] {
        let run = Run::of([fixture("report")]).under([&fixture("deaf"), what]).jsonl().start();
        has_clean_signals(&run.stdout.report(1));
        assert_eq!(run.finish().code(), Some(0), "{what}");
    }
    let run = staying().after("trap '' INT QUIT USR1 CHLD");
    has_clean_signals(&reported(run, |_| {}));
}

#[test]
fn a_supervisor_started_with_all_signals_blocked_still_receives_them() {
    let run = staying().under([&fixture("deaf"), "block"]).jsonl().start();
    has_clean_signals(&run.stdout.report(1));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
}

#[test]
fn a_worker_leads_its_own_session_and_process_group() {
    let report = reported(staying(), |_| {});
    let pid = &report["pid"];
    assert_eq!((&report["sid"], &report["pgid"]), (pid, pid));
}

#[test]
fn a_worker_has_a_parent_death_signal_and_no_new_privileges() {
    let report = reported(staying(), |_| {});
    assert_eq!(report["parent_death_signal"], 9);
    assert_eq!(report["status"]["NoNewPrivs"], "1");
}

#[test]
fn a_worker_inherits_the_users_resource_limits() {
    let report = reported(staying(), |_| {});
    for (index, resource) in [
        (0, Resource::RLIMIT_CPU),
        (1, Resource::RLIMIT_FSIZE),
        (2, Resource::RLIMIT_DATA),
        (3, Resource::RLIMIT_STACK),
        (4, Resource::RLIMIT_CORE),
        (5, Resource::RLIMIT_RSS),
        (6, Resource::RLIMIT_NPROC),
        (7, Resource::RLIMIT_NOFILE),
        (8, Resource::RLIMIT_MEMLOCK),
        (9, Resource::RLIMIT_AS),
        (10, Resource::RLIMIT_LOCKS),
        (11, Resource::RLIMIT_SIGPENDING),
        (12, Resource::RLIMIT_MSGQUEUE),
        (13, Resource::RLIMIT_NICE),
        (14, Resource::RLIMIT_RTPRIO),
        (15, Resource::RLIMIT_RTTIME),
    ] {
        let (soft, hard) = getrlimit(resource).unwrap();
        assert_eq!(report["rlimits"][index], json!([soft, hard]), "{resource:?}");
    }
}

#[test]
fn the_users_soft_open_file_limit_is_restored() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    let report = reported(staying().after("ulimit -Sn 256"), |run| {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", run.supervisor())).unwrap();
        let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let own: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        assert_eq!(own, [hard, hard], "the supervisor's own");
    });
    assert_eq!(report["rlimits"][7], json!([256, hard]));
}

#[test]
fn requested_limits_are_set() {
    let limits = "cpu=7s,fsize=1M,data=512M,stack=4M,core=0,nproc=5000,nofile=99,as=2G";
    let report = reported(staying().option("--limit", limits), |_| {});
    let limit = |index: usize| report["rlimits"][index].clone();
    // The soft CPU limit is below the hard one, so that SIGXCPU names the cause.
    assert_eq!(limit(0), json!([7, 8]));
    for (index, value) in
        [(1, 1 << 20), (2, 512 << 20), (3, 4 << 20), (4, 0), (6, 5000), (7, 99), (9, 2u64 << 30)]
    {
        assert_eq!(limit(index), json!([value, value]), "{index}");
    }
}

#[test]
fn each_worker_knows_its_number() {
    let run = staying().with("--workers 5").jsonl().start();
    let numbers: Vec<Value> = (1..=5)
        .map(|worker| run.stdout.report(worker)["env"]["SUPERVISOR_WORKER"].clone())
        .collect();
    assert_eq!(numbers, ["1", "2", "3", "4", "5"]);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().records("ended").len(), 5);
}
