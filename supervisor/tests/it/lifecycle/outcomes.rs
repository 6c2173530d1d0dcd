//! Retries, time limits, halts and the exit status of a run with jobs.

use std::{
    os::unix::fs::symlink,
    time::{Duration, Instant},
};

use crate::support::{
    Run, Signal,
    jobs::{causes, is_untouched},
};
use serde_json::json;

fn work(workers: usize) -> Run {
    Run::worker("work").with(&format!("--workers {workers}")).jsonl()
}

#[test]
fn a_run_succeeds_when_every_job_does() {
    assert_eq!(work(2).given(["a", "b"]).finish().code(), Some(0));
    for job in ["fail x", "panic x", "exit 0", "segv"] {
        let run = work(2).given(["a", job, "b"]).finish();
        assert_eq!(run.code(), Some(1), "{job}");
        let jobs = run.jobs();
        assert!(is_untouched(&jobs[0]) && is_untouched(&jobs[2]), "{jobs:?}");
    }
}

#[test]
fn an_error_carries_its_message_and_a_panic_its_location() {
    let run = work(1).given(["fail no such page", "panic oh dear"]).finish();
    let [error, panic] = &run.jobs()[..] else { panic!("{}", run.stderr) };
    assert_eq!((&error["status"], &error["cause"]), (&json!("failed"), &json!("error")));
    assert_eq!(error["attempts"][0]["message"], "no such page");
    assert_eq!((&error["input"], error.get("reply")), (&json!("fail no such page"), None));
    assert_eq!((&panic["status"], &panic["cause"]), (&json!("failed"), &json!("panic")));
    let attempt = &panic["attempts"][0];
    assert_eq!(attempt["message"], "oh dear");
    assert!(
        attempt["place"].as_str().unwrap().starts_with("crates/worker/examples/work.rs:"),
        "{panic}"
    );
    assert_eq!(attempt["worker"], 1);
    let [error, panic] = run.messages()[..] else { panic!("{}", run.stderr) };
    assert_eq!(error, "supervisor: job 1 failed: no such page (attempt 1, w1.1)");
    let panicked = "supervisor: job 2 failed: panicked: oh dear (crates/worker/examples/work.rs:";
    assert!(panic.starts_with(panicked) && panic.ends_with("(attempt 1, w1.1)"), "{panic}");
    // The worker survives a panic.
    assert_eq!(run.records("started").len(), 1);
}

#[test]
fn a_failed_job_is_retried_as_often_as_retries_says() {
    let run = work(1).with("--retries 2 --retry-delay 0").given(["fail x", "panic y", "fine"]);
    let run = run.finish();
    let jobs = run.jobs();
    assert_eq!(causes(&jobs[0]), ["error"; 3]);
    assert_eq!(causes(&jobs[1]), ["panic"; 3]);
    assert!(is_untouched(&jobs[2]));
    assert!(run.stderr.contains("job 1 (attempt 1, w1.1): x; again at once"), "{}", run.stderr);
    let all_others = work(1).with("--retries 2 --retry-delay 0 --retry-on panic,timeout");
    let jobs = all_others.given(["fail x", "panic y"]).finish().jobs();
    assert_eq!((causes(&jobs[0]).len(), causes(&jobs[1]).len()), (1, 3));
    // Crashes have a budget of their own.
    let crashed = work(1).with("--retries 5 --retry-delay 0 --crash-retries 2").given(["abort"]);
    assert_eq!(causes(&crashed.finish().jobs()[0]), ["signal"; 3]);
    let once = work(1).with("--retries 5 --retry-delay 0 --crash-retries 0").given(["exit 3"]);
    assert_eq!(causes(&once.finish().jobs()[0]), ["exit"]);
}

#[test]
fn a_retry_that_succeeds_makes_the_job_ok() {
    let run = work(1).with("--retries 3 --retry-delay 0").given(["once tries", "fine"]);
    run.scratch.file("tries", "", 0o644);
    let run = run.finish();
    let jobs = run.jobs();
    assert_eq!(
        (causes(&jobs[0]), &jobs[0]["reply"]),
        (vec!["error".into(), "ok".into()], &json!("once tries"))
    );
    assert!(is_untouched(&jobs[1]) && run.code() == Some(0));
    assert!(run.summary().starts_with("2 jobs: 2 ok; 1 tried again; "), "{}", run.stderr);
}

#[test]
fn the_retry_delay_doubles() {
    let run = work(1).with("--retries 2 --retry-delay 200ms").given(["fail x", "fine"]).finish();
    let jobs = run.jobs();
    let began: Vec<_> =
        (0..3).map(|nth| jobs[0]["attempts"][nth]["began_ms"].as_f64().unwrap()).collect();
    // With 20 % of jitter, and later under load.
    assert!(began[1] - began[0] >= 159.0 && began[2] - began[1] >= 319.0, "{began:?}");
    assert!(is_untouched(&jobs[1]));
}

#[test]
fn a_timed_out_job_affects_only_its_worker() {
    for hang in ["hang", "stop", "sleep 60000"] {
        let run = work(1).with("--timeout 600ms --grace 300ms --depth 4");
        let run = run.given(["a", hang, "b", "c"]).finish();
        let jobs = run.jobs();
        assert_eq!((&jobs[1]["status"], &jobs[1]["cause"]), (&json!("failed"), &json!("timeout")));
        assert_eq!(causes(&jobs[1]), ["timeout"]);
        assert!(jobs[1]["attempts"][0]["duration_ms"].as_f64().unwrap() >= 600.0, "{}", jobs[1]);
        assert!([0, 2, 3].iter().all(|nth| is_untouched(&jobs[*nth])), "{hang}: {jobs:?}");
        assert!(run.stderr.contains("job 2 failed: timeout after "), "{}", run.stderr);
        assert_eq!(run.records("started").len(), 2);
    }
}

#[test]
fn a_timed_out_job_is_retried() {
    let run = work(2).with("--timeout 400ms --retries 1 --retry-delay 0 --grace 300ms");
    let jobs = run.given(["hang", "a"]).finish().jobs();
    assert_eq!(
        (causes(&jobs[0]), &jobs[0]["status"]),
        (vec!["timeout".into(); 2], &json!("failed"))
    );
    let run = work(1).with("--timeout 400ms --retries 1 --retry-delay 0 --retry-on error,panic");
    assert_eq!(causes(&run.given(["hang"]).finish().jobs()[0]), ["timeout"]);
}

#[test]
fn max_fail_stops_the_run_and_leaves_the_rest_unrun() {
    let jobs: Vec<_> = (1..=200).map(|n| if n % 2 == 0 { "fail x" } else { "sleep 1" }).collect();
    for (option, words) in [
        ("--max-fail 3", "running jobs finish"),
        ("--halt soon,fail=3", "running jobs finish"),
        ("--halt now,fail=3", "running jobs are stopped"),
        ("--halt now,done=50%", "running jobs are stopped"),
        ("--halt soon,success=10", "running jobs finish"),
    ] {
        let run = work(2).with("--depth 1").with(option).given(&jobs).finish();
        let code = if option.contains("success") { 0 } else { 3 };
        assert_eq!(run.code(), Some(code), "{option}: {}", run.stderr);
        assert!(run.stderr.contains(words), "{option}: {}", run.stderr);
        let statuses = run.statuses();
        let count = |status: &str| statuses.iter().filter(|one| *one == status).count();
        assert_eq!(statuses.len(), 200);
        let ended = count("ok") + count("failed");
        assert!((3..40).contains(&ended), "{option}: {ended} ended");
        assert_eq!(count("not_run") + count("interrupted"), 200 - ended, "{option}");
        assert!(count("interrupted") <= 2, "{option}");
        assert!(run.summary().contains(" not run; "), "{}", run.stderr);
        assert!(!run.stderr.contains("not read to its end"), "{}", run.stderr);
    }
    // Far more jobs than are read ahead.
    let run = work(2).with("--depth 1 --max-fail 3").fed("fail x\n".repeat(500_000)).finish();
    assert!(run.summary().contains("; input not read to its end; "), "{}", run.stderr);
    let run = work(2).with("--max-fail 3").given(["a", "fail x", "fail y", "b"]).finish();
    assert_eq!((run.code(), run.statuses().len()), (Some(1), 4), "not so many");
}

#[test]
fn halt_soon_waits_for_running_jobs_and_halt_now_does_not() {
    let jobs = ["print on; sleep 700", "sleep 300; fail x", "late"];
    // The grace period applies only to processes that were signalled.
    let soon = work(2).with("--depth 1 --grace 50ms --halt soon,fail=1").given(jobs).finish();
    assert_eq!(soon.statuses(), ["ok", "failed", "not_run"]);
    let hangs = ["print on; hang", "sleep 300; fail x", "late"];
    let now = work(2).with("--depth 1 --halt now,fail=1").given(hangs).finish();
    assert_eq!(now.statuses(), ["interrupted", "failed", "not_run"]);
    assert_eq!((soon.code(), now.code()), (Some(3), Some(3)));
    // The deadline still applies.
    let late = work(2).with("--depth 1 --halt soon,fail=1 --deadline 1s").given(hangs).finish();
    assert_eq!(late.statuses(), ["interrupted", "failed", "not_run"]);
    assert_eq!(late.code(), Some(3), "{}", late.stderr);
    assert!(late.stderr.contains("the time for the whole run is over"), "{}", late.stderr);
    // The job ran, so its record has the input.
    assert_eq!(now.jobs()[0]["input"], "print on; hang");
}

#[test]
fn a_deadline_stops_the_whole_run() {
    let begun = Instant::now();
    let run = work(2).with("--deadline 700ms --grace 1s").given(["a", "hang", "hang", "b"]);
    let run = run.finish();
    assert_eq!(run.code(), Some(124), "{}", run.stderr);
    assert!((700..15_000).contains(&begun.elapsed().as_millis()));
    assert!(run.stderr.contains("the time for the whole run is over"), "{}", run.stderr);
    let statuses = run.statuses();
    assert_eq!(
        (&statuses[0][..], &statuses[1][..], &statuses[2][..]),
        ("ok", "interrupted", "interrupted")
    );
    let in_time = work(2).with("--deadline 60s").given(["a", "b"]).finish();
    assert_eq!(in_time.code(), Some(0));
}

#[test]
fn the_exit_status_names_a_start_failure() {
    let run = Run::of(["no-such-program"]).jsonl().given(["a"]).finish();
    assert_eq!(run.code(), Some(127), "{}", run.stderr);
    assert!(run.stderr.contains("no-such-program"), "{}", run.stderr);
    let run = Run::of(["./text"]).jsonl().given(["a"]);
    run.scratch.file("text", "no program", 0o644);
    assert_eq!(run.finish().code(), Some(126));
}

#[test]
fn a_run_without_jobs_ends_at_once() {
    let begun = Instant::now();
    let run = work(8).given(["a"]).finish();
    assert_eq!((run.code(), run.signal()), (Some(0), None::<Signal>));
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    for ended in run.records("ended") {
        assert!(["finished", "shutdown"].contains(&ended["cause"].as_str().unwrap()), "{ended}");
    }
}

/// Checks that the run is refused with one message that contains all of `words`, before anything
/// starts.
fn refused(run: Run, words: &[&str]) {
    let run = run.finish();
    assert_eq!((run.code(), run.stdout_text()), (Some(2), ""), "{}", run.stderr);
    assert_eq!(run.messages().len(), 1, "{}", run.stderr);
    for word in words {
        assert!(run.stderr.contains(word), "`{word}` is not in:\n{}", run.stderr);
    }
}

#[test]
fn a_job_flag_without_jobs_is_a_usage_error_with_a_remedy() {
    for flag in [
        "-0",
        "--keep-order",
        "--tag",
        "--progress plain",
        "--bar",
        "--retries 1",
        "--retry-delay 1s",
        "--retry-on error",
        "--crash-retries 1",
        "--timeout 1s",
        "--deadline 1s",
        "--max-fail 1",
        "--halt now,fail=1",
        "--depth 1",
        "--start-timeout 1s",
        "--recycle-jobs 1",
        "--recycle-rss 1G",
        "--recycle-age 1h",
        "--max-frame 1M",
    ] {
        let name = flag.split(' ').next().unwrap();
        let words = [name, "is about jobs, and this run has none", "-a FILE", "::: JOB"];
        refused(Run::sh("echo started > started").with(flag), &words);
    }
}

#[test]
fn contradictory_flags_are_refused() {
    for (options, words) in [
        ("-a jobs --follow jobs", &["jobs come from one place"][..]),
        ("-a jobs --restart always", &["--restart has no meaning with jobs"]),
        ("-a jobs --restart never", &["--restart has no meaning with jobs"]),
        ("-a jobs --output raw", &["--output raw has no meaning with jobs"]),
        ("-a jobs --tag --output none", &["--tag", "--output none"]),
        ("-a jobs --format jsonl --tag", &["--tag has no meaning with --format jsonl"]),
        ("-a jobs --format jsonl --output none", &["--output", "--format jsonl"]),
        ("-a jobs --max-fail 1 --halt now,fail=1", &["--max-fail", "--halt", "one of them"]),
        ("-a jobs --bar --progress none", &["--bar", "--progress"]),
        ("--follow -", &["--follow wants a file", "-a -"]),
        ("-a jobs --timeout 0", &["--timeout", "write 30s"]),
        ("-a jobs --timeout never", &["`never` is not a duration", "--timeout"]),
        (
            "-a jobs --retry-on crash",
            &["`crash` is none of error, panic, timeout", "--crash-retries"],
        ),
        ("-a jobs --halt soon", &["--halt", "soon,fail=3"]),
        ("-a jobs --halt now,fail=101%", &["--halt", "soon,fail=3"]),
        ("-a jobs --depth 0", &["--depth", "auto, or 1 to 1024"]),
        ("-a jobs --depth 1025", &["--depth", "auto, or 1 to 1024"]),
        ("-a jobs --max-frame 1K", &["--max-frame", "4.0 KiB to"]),
        ("-a jobs --recycle-jobs 0", &["--recycle-jobs", "at least 1"]),
        ("-a jobs --recycle-rss 0", &["--recycle-rss", "write 1G"]),
        ("-a jobs --recycle-age 0", &["--recycle-age", "write 30s"]),
        ("-a jobs --retries -1", &["-1"]),
    ] {
        let run = Run::sh("echo started > started").with(options);
        run.scratch.file("jobs", "one\n", 0o644);
        refused(run, words);
    }
    refused(Run::sh("").with("-a jobs").given(["x"]), &["jobs come from one place"]);
    refused(Run::sh("").with("-0").given(["x"]), &["-0 has no meaning with :::"]);
}

#[test]
fn a_file_that_is_both_input_and_output_is_refused() {
    for (options, before, name) in [
        ("-a jobs", "exec >> jobs", "jobs: "),
        ("--follow jobs", "exec >> jobs", "jobs: "),
        ("-a -", "exec < jobs >> jobs", "stdin: "),
        ("-a link", "exec 1<> jobs", "link: "),
    ] {
        let run = work(1).with(options).after(before);
        let jobs = run.scratch.file("jobs", "one\n", 0o644);
        symlink(jobs, run.scratch.path().join("link")).unwrap();
        let run = run.finish();
        let words = format!("supervisor: {name}input file is output file");
        assert!(run.stderr.starts_with(&words), "{}", run.stderr);
        assert_eq!((run.code(), run.messages().len()), (Some(125), 1));
    }
}

#[test]
fn failure_messages_are_limited_to_a_thousand_a_second() {
    let run = work(2).fed("fail x\n".repeat(20_000)).finish();
    assert_eq!((run.jobs().len(), run.code()), (20_000, Some(1)));
    let lines = run.messages().iter().filter(|line| line.contains(" failed: x ")).count();
    let more = run.messages().into_iter().filter_map(|line| {
        let (count, _) =
            line.strip_prefix("supervisor: ")?.split_once(" more failures of jobs: ")?;
        count.parse::<usize>().ok()
    });
    assert_eq!(lines + more.sum::<usize>(), 20_000, "{lines} lines");
    assert!(lines >= 1000);
}

#[test]
fn a_read_error_in_the_input_fails_the_run() {
    // The file can be opened but not read.
    let run = work(1).with("-a /proc/self/mem").finish();
    assert_eq!(run.code(), Some(125), "{}", run.stderr);
    assert!(run.messages()[0].contains("cannot read jobs from /proc/self/mem: Input/output"));
    assert!(run.summary().contains("; input not read to its end; "), "{}", run.stderr);
}

#[test]
fn a_closed_stdout_is_refused_but_dev_null_is_not() {
    for (options, before, code) in [
        ("", "exec >&-", 5),
        ("--output none", "exec >&-", 0),
        ("", "exec > /dev/null", 0),
        ("", "exec 1<> /dev/null", 0),
    ] {
        let run = Run::worker("work").with(options).given(["one"]).after(before).finish();
        assert_eq!(run.code(), Some(code), "{before}: {}", run.stderr);
        assert_eq!(run.stderr.contains("stdout is closed"), code == 5, "{}", run.stderr);
    }
}

#[test]
fn jobs_without_a_program_are_a_usage_error() {
    for (run, form) in [
        (Run::of([""; 0]).given(["x"]), "run PROGRAM [ARGS]… ::: JOB…; "),
        (Run::of([""; 0]).with("-a jobs"), "run -a jobs PROGRAM [ARGS]…; "),
        (Run::of([""; 0]).with("--follow jobs"), "run --follow jobs PROGRAM [ARGS]…; "),
    ] {
        refused(run, &["supervisor: name the PROGRAM", form, "--help"]);
    }
}
