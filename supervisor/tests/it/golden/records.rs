//! The records of `--format jsonl` and `--events`, as real processes produce them. Records of
//! rare events are checked in `crates/records/src/golden/`.

use std::{fs::File, io::Read};

use super::{
    super::support::{Run, Value, fixture},
    check, commands,
    filter::pretty,
    jobs, worker,
};

/// The lines of each type, types and jobs in a fixed order: streams of one worker are not ordered
/// among themselves.
fn by_type(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.lines() {
        let record: Value = serde_json::from_str(line).unwrap();
        let of = |name: &str| record[name].as_str().unwrap_or_default().to_owned();
        let id = if record["type"] == "job" { record["id"].as_u64() } else { None };
        lines.push(((of("type"), of("stream"), id), line));
    }
    lines.sort_by(|a, b| a.0.cmp(&b.0));
    pretty(lines.into_iter().map(|(_, line)| line))
}

fn check_records(name: &str, run: Run) {
    let run = run.jsonl().finish();
    assert_ne!(run.code(), Some(2), "{}", run.stderr);
    check(name, &by_type(run.stdout_text()));
}

/// Runs it to its end; what it wrote to the file `written` that the option names.
pub(super) fn with_file(run: Run, option: &str) -> String {
    let path = run.scratch.file("written", "", 0o644);
    let run = run.with(option).start();
    let mut file = File::open(path).unwrap();
    let run = run.finish();
    assert_ne!(run.code(), Some(2), "{}", run.stderr);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn records_of_plain_workers_are_golden() {
    let script = "echo out; printf '\\377\\n' >&2; printf part; exit 3";
    check_records("records-program", Run::sh(script).with("-w 1"));
    let script = "[ -e again ] && exit 0; touch again; kill -SEGV $$";
    let run = Run::sh(script).with("-w 1 --restart on-failure --stop-signal INT");
    run.scratch.file("again", "", 0o644);
    let run = run.after("rm again");
    check_records("records-restarted-program", run);
}

#[test]
fn records_of_a_program_that_does_not_exist_are_golden() {
    check_records("records-not-found", Run::of(["./nothing"]).with("-w 1"));
}

#[test]
fn records_of_jobs_are_golden() {
    check_records("records-jobs", jobs());
    check_records("records-panic", worker(&["panic oh"]));
    check_records("records-crash", worker(&["segv"]));
    let run = Run::worker("work").with("-w 1 --depth 1 --retries 0 --max-frame 4k");
    check_records(
        "records-odd-jobs",
        run.fed([&b"x".repeat(5000)[..], b"\n\xff\nprint a\n"].concat()),
    );
    let run = Run::worker("work").with("-w 1 --depth 1 --retries 0 --max-fail 1");
    check_records("records-jobs-not-run", run.given(["fail", "sleep 1", "sleep 1"]));
    let run = Run::of([fixture("vile"), "garbage".into()]).with("-w 1 --crash-retries 0");
    check_records("records-protocol-fault", run.given(["x"]));
}

#[test]
fn records_of_commands_are_golden() {
    check_records("records-commands", commands());
    let script = "printf '\\377'; sleep 100 & echo {}; \
                  until [ $(cat /proc/$!/comm) = sleep ]; do :; done; kill -KILL $$";
    let run = Run::each_sh(script).with("-j 1 --retries 0").given(["a"]);
    check_records("records-killed-command", run);
}

#[test]
fn events_of_a_run_are_golden() {
    check("events-jobs", &by_type(&with_file(jobs(), "--events written")));
    check("events-crash", &by_type(&with_file(worker(&["segv"]), "--events written")));
    let run = Run::sh("echo out; exit 3").with("-w 1 --name it");
    let text = with_file(run, "--events written");
    check("events-program", &by_type(&text));
}
