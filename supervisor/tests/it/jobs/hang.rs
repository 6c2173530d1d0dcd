//! A timeout reports what the job was doing: sleeping, computing, stopped or starved.

use crate::support::{Run, Value, load};

/// The kind of hang, and the name and state of the last process.
fn seen(job: &Value) -> [&str; 3] {
    let hang = &job["attempts"][0]["hang"];
    let last = hang["processes"].as_array().and_then(|all| all.last());
    let last = last.unwrap_or_else(|| panic!("{job}"));
    [&hang["kind"], &last["name"], &last["state"]].map(|value| value.as_str().unwrap())
}

/// Checks that the job was computing. Beside other tests it may have been starved instead.
fn works(job: &Value, name: &str) {
    let [kind, last, state] = seen(job);
    assert!(["busy", "starved"].contains(&kind) && last == name && state == "R", "{job}");
}

#[test]
fn hang_reports_distinguish_sleeping_busy_and_stopped_commands() {
    let _quiet = load::quiet();
    let scripts = ["sleep 1000; true", "while :; do :; done", "kill -STOP $$; true"];
    let run = Run::each_sh("{}").with("-j 3 -k --timeout 600ms --grace 2s").jsonl();
    let run = run.given(scripts).finish();
    let jobs = run.jobs();
    assert_eq!(seen(&jobs[0]), ["asleep", "sleep", "S"]);
    works(&jobs[1], "sh");
    assert_eq!(seen(&jobs[2]), ["stopped", "sh", "T"]);
    let window_ms = jobs[1]["attempts"][0]["hang"]["window_ms"].as_f64().unwrap();
    assert!((200.0..3000.0).contains(&window_ms), "{window_ms}");
    for words in ["; it slept: sleep", "; it was stopped ("] {
        assert!(run.stderr.contains(words), "{}", run.stderr);
    }
}

#[test]
fn hang_reports_cover_workers_and_their_children() {
    let _quiet = load::quiet();
    let run = Run::worker("work").with("--workers 4 -k --timeout 600ms --crash-retries 0").jsonl();
    let run = run.given(["hang", "spin 100000000", "stop", "sh sleep 1000"]).finish();
    let jobs = run.jobs();
    assert_eq!(seen(&jobs[0]), ["asleep", "work", "S"]);
    works(&jobs[1], "work");
    assert_eq!(seen(&jobs[2]), ["stopped", "work", "T"]);
    assert_eq!(seen(&jobs[3]), ["asleep", "sleep", "S"]);
}

#[test]
fn a_command_without_cpu_time_is_reported_as_starved() {
    let _quiet = load::quiet();
    // Four busy loops share one processor.
    let run = Run::each_sh("{}").with("-j 4 --timeout 1500ms --grace 100ms").jsonl();
    let run = run.under(["taskset", "-c", "0"]).given(["while :; do :; done"; 4]).finish();
    assert_eq!(seen(&run.jobs()[0])[0], "starved", "{}", run.jobs()[0]);
    assert!(run.stderr.contains("; it was starved: "), "{}", run.stderr);
}
