//! `--wire lines`: a filter that answers each line with a line is a worker.

use std::time::{Duration, Instant};

use crate::support::{
    Run, Signal,
    jobs::{causes, is_untouched},
};

/// A run of a shell script that is executed for each line, in `$line`.
fn filter(script: &str) -> Run {
    let script = format!("while IFS= read -r line; do {script}; done");
    Run::of(["sh", "-c", &script]).with("--wire lines --workers 1").jsonl()
}

fn replies(jobs: &[serde_json::Value]) -> Vec<&str> {
    jobs.iter().map(|job| job["reply"].as_str().unwrap()).collect()
}

#[test]
fn a_filter_that_answers_each_line_is_a_worker() {
    let jobs: Vec<String> = (1..=200).map(|n| n.to_string()).collect();
    for program in [&["sed", "-u", "s/^/x/"][..], &["sh", "-c", "while read a; do echo x$a; done"]]
    {
        for options in ["--workers 3", "--workers 2 --depth 16"] {
            let run = Run::of(program).with("--wire lines").with(options).jsonl();
            let run = run.given(&jobs).finish();
            assert_eq!(run.code(), Some(0), "{}", run.stderr);
            let done = run.jobs();
            assert!(done.iter().all(is_untouched), "{done:?}");
            let expected: Vec<String> = (1..=200).map(|n| format!("x{n}")).collect();
            assert_eq!(replies(&done), expected);
        }
    }
}

#[test]
fn the_stderr_of_a_filter_is_output_and_a_large_line_arrives_whole() {
    let large = "y".repeat(300_000);
    let run =
        filter("echo note >&2; printf '%s\\n' \"$line\"").fed(format!("{large}\nb\n")).finish();
    assert_eq!(replies(&run.jobs()), [&large[..], "b"], "{}", run.stderr);
    let output = run.records("output");
    assert!(output.iter().any(|line| line["line"] == "note" && line["stream"] == "stderr"));
}

#[test]
fn a_filter_that_crashes_is_replaced_and_only_its_job_is_charged() {
    for depth in ["", "--depth 8"] {
        let script = "[ \"$line\" = bad ] && { printf part; kill -SEGV $$; }; echo \"$line\"";
        let run = filter(script).with("--limit core=0").with(depth);
        let run = run.given(["a", "bad", "c", "d"]).finish();
        assert_eq!(run.statuses(), ["ok", "quarantined", "ok", "ok"], "{}", run.stderr);
        let jobs = run.jobs();
        assert_eq!(causes(&jobs[1]), ["signal", "signal"], "{depth}");
        assert!([0, 2, 3].iter().all(|nth| is_untouched(&jobs[*nth])), "{depth}: {jobs:?}");
        let last = &jobs[1]["attempts"][0]["last_output"];
        assert_eq!(last, "part", "a line that was never completed is no reply");
    }
}

#[test]
fn a_filter_that_hangs_reaches_its_time_limit() {
    let run = filter("[ \"$line\" = hang ] && exec sleep 1000; echo \"$line\"");
    let run = run.with("--timeout 300ms").given(["a", "hang", "c"]).finish();
    assert_eq!(run.statuses(), ["ok", "failed", "ok"], "{}", run.stderr);
    assert_eq!(causes(&run.jobs()[1]), ["timeout"]);
}

#[test]
fn a_filter_that_buffers_its_output_is_told_the_remedy() {
    let run = Run::of(["sed", "s/^/x/"]).with("--wire lines --workers 2 --timeout 1s").jsonl();
    let run = run.given(["a", "b", "c"]).finish();
    assert_eq!(run.statuses(), ["failed"; 3], "{}", run.stderr);
    let told: Vec<_> = run.messages().into_iter().filter(|it| it.contains("stdbuf -oL")).collect();
    let [message] = told[..] else { panic!("once a run: {}", run.stderr) };
    assert!(message.starts_with("supervisor: sed (w"), "{message}");
    assert!(message.contains("has read its first job") && message.contains("sed -u"), "{message}");
}

#[test]
fn a_job_with_a_newline_fails_with_a_reason_and_the_filter_goes_on() {
    let run = filter("echo \"$line\"").given(["a", "two\nlines", "c"]).finish();
    assert_eq!(run.statuses(), ["ok", "failed", "ok"], "{}", run.stderr);
    let jobs = run.jobs();
    let message = jobs[1]["attempts"][0]["message"].as_str().unwrap();
    assert!(message.starts_with("the job contains a newline"), "{message}");
    assert_eq!(run.records("started").len(), 1);
}

#[test]
fn a_line_without_a_job_is_a_named_protocol_error() {
    let run = filter("echo \"$line\"; echo more").with("--crash-retries 0").given(["a"]).finish();
    let words = "protocol error: a line without a job: `more`";
    assert!(run.stderr.contains(words), "{}", run.stderr);
    // A banner comes before any job.
    let banner = "echo hello; while read line; do echo $line; done";
    let run = Run::of(["sh", "-c", banner]).with("--wire lines --workers 1").given(["a"]).finish();
    assert!(run.stderr.contains("a line without a job: `"), "{}", run.stderr);
}

#[test]
fn a_line_over_the_limit_ends_the_filter() {
    let run = filter("printf '%9000s\\n' x").with("--max-frame 4K --crash-retries 0");
    let run = run.given(["a"]).finish();
    assert_eq!(causes(&run.jobs()[0]), ["protocol"], "{}", run.stderr);
    assert!(run.stderr.contains("a line of more than 4.0 KiB"), "{}", run.stderr);
}

#[test]
fn the_end_of_stdin_ends_a_filter_and_recycling_replaces_it() {
    let begun = Instant::now();
    let run = filter("echo \"$$ $line\"").with("--recycle-jobs 2 --grace 30s");
    let run = run.given(["a", "b", "c", "d", "e"]).finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    assert!(run.jobs().iter().all(is_untouched));
    assert!(run.records("started").len() >= 2, "{}", run.stderr);
    assert!(run.records("ended").iter().all(|ended| ended["code"] == 0), "{}", run.stderr);
    assert!(begun.elapsed() < Duration::from_secs(20), "no worker had to be killed");
}

#[test]
fn a_program_that_is_no_filter_is_restarted_with_a_back_off() {
    let run = Run::of(["true"]).with("--wire lines --workers 1").jsonl().given(["a"]).start();
    (1..=3).for_each(|generation| drop(run.stdout.record("ended", 1, generation)));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert!(run.stderr.contains("ended: code 0; again in "), "{}", run.stderr);
    assert!(!run.stderr.contains("protocol"), "{}", run.stderr);
}
