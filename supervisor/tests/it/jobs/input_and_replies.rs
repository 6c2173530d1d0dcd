//! Jobs from arguments, files and pipes are each done once, and replies come out in the selected
//! format.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use crate::support::{Finished, Run, Signal, Value, jobs::is_untouched, pid, procfs, send, until};
use serde_json::json;

/// Checks that every job is done, with these replies in job order.
fn replied(run: &Finished, replies: &[&str]) {
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let jobs = run.jobs();
    assert!(jobs.iter().all(is_untouched), "{jobs:?}");
    let got: Vec<_> = jobs.iter().map(|job| job["reply"].as_str().unwrap()).collect();
    assert_eq!(got, replies);
    let positions: Vec<_> = jobs.iter().map(|job| job["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, (1..=replies.len() as u64).collect::<Vec<_>>());
}

fn echo() -> Run {
    Run::worker("echo").with("--workers 2")
}

#[test]
fn each_argument_is_a_job() {
    let jobs = ["a b", "", "c\nd", ":::", "--workers", "ü"];
    replied(&echo().jsonl().given(jobs).finish(), &jobs);
    let none: [&str; 0] = [];
    replied(&echo().jsonl().given(none).finish(), &none);
}

#[test]
fn each_line_of_a_file_or_of_standard_input_is_a_job() {
    for (text, jobs) in [
        ("one\n\nthree\r\n four \nlast", &["one", "", "three\r", " four ", "last"][..]),
        ("\n\n", &["", ""]),
        ("one\n", &["one"]),
        ("", &[]),
    ] {
        replied(&echo().jsonl().fed(text).finish(), jobs);
        replied(&echo().jsonl().piped(text).finish(), jobs);
    }
}

#[test]
fn null_separated_jobs_may_contain_newlines() {
    let (text, jobs) = ("one\ntwo\n\0\0three", ["one\ntwo\n", "", "three"]);
    for option in ["-0", "--null"] {
        replied(&echo().jsonl().with(option).fed(text).finish(), &jobs);
        replied(&echo().jsonl().with(option).piped(text).finish(), &jobs);
    }
}

#[test]
fn a_job_from_a_pipe_runs_without_waiting_for_the_next_line() {
    let (run, mut feed) = echo().jsonl().fed_live();
    let run = run.start();
    for id in 1..=20 {
        feed.push(&format!("question {id}"));
        assert_eq!(run.job(id)["reply"], format!("question {id}"));
    }
    drop(feed);
    assert_eq!(run.finish().jobs().len(), 20);
}

#[test]
fn bytes_that_are_not_utf8_come_back_unchanged() {
    let bytes = b"\xff\xfe\n\xe2\x82\nplain\n";
    let run = echo().jsonl().fed(bytes).finish();
    let jobs = run.jobs();
    let reply = |id: usize| (&jobs[id]["reply_base64"], &jobs[id]["reply"]);
    assert_eq!(reply(0), (&json!("//4="), &Value::Null));
    assert_eq!(reply(1), (&json!("4oI="), &Value::Null));
    assert_eq!(reply(2), (&Value::Null, &json!("plain")));
    let run = echo().with("--keep-order").fed(bytes).finish();
    assert_eq!(run.stdout, bytes);
    let argument = OsStr::from_bytes(b"\xff");
    assert_eq!(echo().given([argument]).finish().stdout, b"\xff\n");

    // The worker cannot decode this job; the job fails and the worker is not charged.
    let run = Run::worker("work").with("--workers 1").jsonl().fed(b"\xff\xfe\nfine\n").finish();
    let jobs = run.jobs();
    assert_eq!((&jobs[0]["status"], &jobs[0]["input_base64"]), (&json!("failed"), &json!("//4=")));
    assert!(jobs[0]["attempts"][0]["message"].as_str().unwrap().contains("utf-8"), "{}", jobs[0]);
    assert!(is_untouched(&jobs[1]) && run.code() == Some(1));
}

#[test]
fn keep_order_writes_replies_in_job_order() {
    let jobs: Vec<_> = (0..60).map(|n| format!("sleep {}; {n}", 7 * n % 10)).collect();
    for option in ["-k", "--keep-order"] {
        let run = Run::worker("work").with("--workers 4").with(option).given(&jobs).finish();
        assert_eq!(run.lines(), jobs);
    }
    let run = Run::worker("work").with("--workers 4 -k").jsonl().given(&jobs).finish();
    let ids = run.records("job").into_iter().map(|job| job["id"].as_u64().unwrap());
    assert!(ids.eq(1..=60));
}

#[test]
fn replies_that_wait_for_their_turn_do_not_fill_memory() {
    const OTHERS: usize = 30_000;
    let mut text = String::from("print on; sleep 2500\n");
    (0..OTHERS).for_each(|_| text.push_str("big 1000\n"));
    let run = Run::worker("work").with("--workers 2 -k").fed(text).start();
    run.stderr.until("the slow one", |text| text.contains("#1] on").then_some(()));
    // The first reply comes after nearly all other jobs are done.
    run.stdout.until_length(1);
    let peak_kib = procfs::status_kib(run.supervisor(), "VmHWM");
    assert!(peak_kib < 32 << 10, "{peak_kib} KiB for {} KiB of replies", OTHERS);
    let run = run.finish();
    let lines = run.lines();
    assert_eq!((lines.len(), lines[0]), (OTHERS + 1, "print on; sleep 2500"));
    assert!(lines[1..].iter().all(|line| line.len() == 1000 && line.starts_with('x')));
}

#[test]
fn tag_prefixes_each_line_with_its_job() {
    let run = echo().with("--tag -k").given(["one two", "", "3"]).finish();
    assert_eq!(run.lines(), ["one two\tone two", "\t", "3\t3"]);
}

#[test]
fn output_none_still_reports_failures() {
    let run = Run::worker("work").with("--workers 1 --output none");
    let run = run.given(["one", "fail so be it", "print hello"]).finish();
    assert_eq!((run.stdout_text(), run.code()), ("", Some(1)));
    assert_eq!(run.messages(), ["supervisor: job 2 failed: so be it (attempt 1, w1.1)"]);
}

#[test]
fn worker_output_is_attributed_to_the_running_job() {
    let jobs = ["print one", "complain two", "quiet", "sleep 20; print four"];
    // With more prefetch a worker may already run the next job when its output is read.
    let work = || Run::worker("work").with("--workers 1 --depth 1");
    let run = work().given(jobs).finish();
    assert_eq!(run.lines(), jobs, "stdout carries replies");
    for line in ["[1 #1] one", "[1 #2] two", "[1 #4] four"] {
        assert!(run.stderr.lines().any(|printed| printed == line), "{line} in {}", run.stderr);
    }
    let run = work().jsonl().given(jobs).finish();
    let printed = run.records("output").into_iter().map(|record| {
        let [job, stream, line] = ["job", "stream", "line"].map(|name| record[name].clone());
        json!([job, stream, line])
    });
    let printed: Vec<_> = printed.collect();
    for expected in [json!([1, "stdout", "one"]), json!([2, "stderr", "two"])] {
        assert!(printed.contains(&expected), "{printed:?}");
    }
    assert!(printed.contains(&json!([4, "stdout", "four"])) && printed.len() == 3, "{printed:?}");
}

#[test]
fn worker_output_is_never_attributed_to_the_wrong_job() {
    let quiet = vec![String::from("quiet"); 300];
    let loud: Vec<String> = (1..=300).map(|n| format!("print {n}")).collect();
    let named = |options: &str, jobs: &[String]| {
        let run = Run::worker("work").with("--workers 1").with(options).jsonl();
        let run = run.given(jobs).finish();
        let first = jobs.len() - 300;
        let lines = run.records("output");
        assert_eq!(lines.len(), 300);
        let named = lines.iter().filter(|line| !line["job"].is_null());
        named.fold(0, |count, line| {
            let number: usize = line["line"].as_str().unwrap().parse().unwrap();
            assert_eq!(line["job"], first + number, "{line}");
            count + 1
        })
    };
    // A worker that prints from the start gets one job at a time.
    assert_eq!(named("", &loud), 300);
    named("", &[quiet, loud.clone()].concat());
    named("--depth 16", &loud);
}

#[test]
fn the_summary_goes_to_stderr_only() {
    let run = echo().given(["a", "b", "c"]).finish();
    assert!(run.summary().starts_with("3 jobs: 3 ok; "), "{}", run.stderr);
    assert_eq!((run.stderr.lines().count(), run.lines().len()), (1, 3));
    let jobs = ["fine", "fail x", "segv", "fine"];
    let run = Run::worker("work").with("--workers 1 --retries 1 --retry-delay 0");
    let run = run.given(jobs).finish();
    let summary = "4 jobs: 2 ok, 1 failed, 1 quarantined; 2 tried again; ";
    assert!(run.summary().starts_with(summary), "{}", run.stderr);
    assert_eq!(run.code(), Some(1));
}

#[test]
fn usr1_prints_the_job_of_each_worker() {
    let run = Run::worker("work").with("--workers 2 --depth 1").jsonl();
    let run = run.given(["done", "print on; hang", "print too; hang", "rest", "rest"]).start();
    run.job(1);
    run.printed("on");
    run.printed("too");
    let before = run.stderr.text().len();
    run.signal(Signal::SIGUSR1);
    let table = run.stderr.until("how they stand", |text| {
        let rest = text.get(before..)?;
        rest.contains("jobs: ").then(|| rest.to_owned())
    });
    let shows = |job: u64| table.lines().any(|line| line.contains(&format!("running job {job}")));
    assert!(shows(2) && shows(3), "{table}");
    assert!(table.contains("jobs: 1 done, 2 running, 2 queued"), "{table}");
}

#[test]
fn unreadable_input_is_an_error_and_starts_no_worker() {
    for (options, words) in [
        ("-a nowhere", ["nowhere is not there", "create it first"]),
        ("--follow nowhere", ["nowhere is not there", "create it first"]),
        ("-a .", [". is a directory", "name a file of jobs"]),
        ("--follow /dev/null", ["/dev/null cannot be followed", "--jobs-from"]),
    ] {
        let run = Run::worker("work").with(options).jsonl().finish();
        assert_eq!((run.code(), run.stdout_text()), (Some(125), ""), "{}", run.stderr);
        let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
        assert!(words.iter().all(|word| message.contains(word)), "{message}");
    }
}

#[test]
fn a_job_longer_than_max_frame_fails_alone() {
    let text = format!("fine\n{}\nfine too\n", "x".repeat(5000));
    let run = echo().with("--max-frame 4K").jsonl().fed(text).finish();
    assert_eq!(run.statuses(), ["ok", "too_long", "ok"]);
    let long = run.jobs().remove(1);
    assert_eq!((&long["bytes"], &long["attempts"]), (&json!(5000), &json!([])));
    assert!(long["bytes_max"].as_u64().unwrap() > 3 << 10, "{long}");
    let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
    for word in ["job 2 has 4.9 KiB", "--max-frame"] {
        assert!(message.contains(word), "{message}");
    }
    assert_eq!(run.code(), Some(1));
}

#[test]
fn a_reply_longer_than_max_frame_fails_its_job_only() {
    let run = Run::worker("work").with("--workers 1 --max-frame 4K").jsonl();
    let run = run.given(["fine", "big 5000", "fine", "big 3000"]).finish();
    assert_ne!(run.jobs()[1]["status"], "ok");
    let others = [0, 2, 3].map(|nth| run.jobs()[nth].clone());
    assert!(others.iter().all(is_untouched), "{others:?}");
    let [.., message] = run.messages()[..] else { panic!("{}", run.stderr) };
    for word in ["job 2 failed", "5000 bytes", "4096", "--max-frame"] {
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_large_job_and_a_large_reply_pass() {
    let large = "y".repeat(20 << 20);
    let run = echo().jsonl().fed(format!("a\n{large}\nb\n")).finish();
    replied(&run, &["a", &large, "b"]);
}

#[test]
fn a_stopped_idle_worker_delays_no_job() {
    let (run, mut feed) = echo().with("--depth 8").jsonl().fed_live();
    let run = run.start();
    // Both workers are up once each does one of two jobs.
    let (mut last, mut pids) = (0, [0; 2]);
    until("jobs for both", || {
        feed.push("a\nb");
        last += 2;
        let attempt = |id| run.job(id)["attempts"][0].clone();
        pids = [pid(&attempt(last - 1)), pid(&attempt(last))];
        pids[0] != pids[1]
    });
    send(pids[0], Signal::SIGSTOP);
    until("the stop", || procfs::stat(pids[0]).is_some_and(|stat| stat.state == 'T'));
    for _ in 0..10 {
        feed.push(&"c\n".repeat(30));
        last += 31;
        (last - 30..=last).for_each(|id| assert!(is_untouched(&run.job(id))));
    }
    send(pids[0], Signal::SIGCONT);
    drop(feed);
    let run = run.finish();
    assert!(run.code() == Some(0) && run.jobs().iter().all(is_untouched), "{}", run.stderr);
}

#[test]
fn few_jobs_start_few_workers() {
    let run = Run::worker("echo").with("--workers 200").jsonl().given(["a", "b", "c"]).finish();
    replied(&run, &["a", "b", "c"]);
    // A few workers start before the number of jobs is known.
    let started = run.records("started").len();
    assert!((1..=20).contains(&started), "{started} started");
    assert_eq!(run.records("ended").len(), 200);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}
