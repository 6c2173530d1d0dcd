//! From whatever place jobs come, each is done once, and its reply comes out in the form that was
//! asked for.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{ffi::OsStr, os::unix::ffi::OsStrExt};

use serde_json::json;
use support::{Finished, Run, Signal, Value, jobs::is_untouched, pid, procfs, send, until};

/// All went well: these are the replies, in the order of the jobs.
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
fn zero_bytes_end_jobs_that_may_hold_newlines() {
    let (text, jobs) = ("one\ntwo\n\0\0three", ["one\ntwo\n", "", "three"]);
    for option in ["-0", "--null"] {
        replied(&echo().jsonl().with(option).fed(text).finish(), &jobs);
        replied(&echo().jsonl().with(option).piped(text).finish(), &jobs);
    }
}

#[test]
fn a_job_from_a_pipe_is_done_before_the_next_one_comes() {
    let (run, mut asker) = echo().jsonl().asked();
    let run = run.start();
    for id in 1..=20 {
        asker.ask(&format!("question {id}"));
        assert_eq!(run.job(id)["reply"], format!("question {id}"));
    }
    drop(asker);
    assert_eq!(run.finish().jobs().len(), 20);
}

#[test]
fn bytes_that_are_no_text_come_back_as_they_were() {
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

    // Its worker cannot read it, and is not to blame.
    let run = Run::worker("work").with("--workers 1").jsonl().fed(b"\xff\xfe\nfine\n").finish();
    let jobs = run.jobs();
    assert_eq!((&jobs[0]["status"], &jobs[0]["input_base64"]), (&json!("failed"), &json!("//4=")));
    assert!(jobs[0]["attempts"][0]["message"].as_str().unwrap().contains("utf-8"), "{}", jobs[0]);
    assert!(is_untouched(&jobs[1]) && run.code() == Some(1));
}

#[test]
fn replies_come_in_the_order_of_the_jobs_where_that_is_wanted() {
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
fn many_replies_wait_for_a_slow_one_before_them_and_not_in_memory() {
    const OTHERS: usize = 30_000;
    let mut text = String::from("print on; sleep 2500\n");
    (0..OTHERS).for_each(|_| text.push_str("big 1000\n"));
    let run = Run::worker("work").with("--workers 2 -k").fed(text).start();
    run.stderr.until("the slow one", |text| text.contains("#1] on").then_some(()));
    // Which comes after all others were done, or a few of them come late.
    run.stdout.until_length(1);
    let peak_kib = procfs::status_kib(run.supervisor(), "VmHWM");
    assert!(peak_kib < 32 << 10, "{peak_kib} KiB for {} KiB of replies", OTHERS);
    let run = run.finish();
    let lines = run.lines();
    assert_eq!((lines.len(), lines[0]), (OTHERS + 1, "print on; sleep 2500"));
    assert!(lines[1..].iter().all(|line| line.len() == 1000 && line.starts_with('x')));
}

#[test]
fn a_tag_is_the_job_before_each_line_of_its_reply() {
    let run = echo().with("--tag -k").given(["one two", "", "3"]).finish();
    assert_eq!(run.lines(), ["one two\tone two", "\t", "3\t3"]);
}

#[test]
fn no_replies_are_wanted_and_failures_are_told_all_the_same() {
    let run = Run::worker("work").with("--workers 1 --output none");
    let run = run.given(["one", "fail so be it", "print hello"]).finish();
    assert_eq!((run.stdout_text(), run.code()), ("", Some(1)));
    assert_eq!(run.messages(), ["supervisor: job 2 failed: so be it (attempt 1, w1.1)"]);
}

#[test]
fn what_a_worker_prints_belongs_to_the_job_that_it_runs() {
    let jobs = ["print one", "complain two", "quiet", "sleep 20; print four"];
    // At a greater depth a worker may be further on when its words are read.
    let work = || Run::worker("work").with("--workers 1 --depth 1");
    let run = work().given(jobs).finish();
    assert_eq!(run.lines(), jobs, "stdout carries replies");
    for line in ["[1 #1] one", "[1 #2] two", "[1 #4] four"] {
        assert!(run.stderr.lines().any(|said| said == line), "{line} in {}", run.stderr);
    }
    let run = work().jsonl().given(jobs).finish();
    let said = run.records("output").into_iter().map(|record| {
        let [job, stream, line] = ["job", "stream", "line"].map(|name| record[name].clone());
        json!([job, stream, line])
    });
    let said: Vec<_> = said.collect();
    for expected in [json!([1, "stdout", "one"]), json!([2, "stderr", "two"])] {
        assert!(said.contains(&expected), "{said:?}");
    }
    assert!(said.contains(&json!([4, "stdout", "four"])) && said.len() == 3, "{said:?}");
}

#[test]
fn a_line_names_the_right_job_or_none_at_any_depth() {
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
    // Whoever prints from the start has one job at a time.
    assert_eq!(named("", &loud), 300);
    named("", &[quiet, loud.clone()].concat());
    named("--depth 16", &loud);
}

#[test]
fn a_run_is_summed_up_on_stderr_and_nowhere_else() {
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
fn usr1_shows_what_each_worker_runs() {
    let run = Run::worker("work").with("--workers 2 --depth 1").jsonl();
    let run = run.given(["done", "print on; hang", "print too; hang", "rest", "rest"]).start();
    run.job(1);
    run.said("on");
    run.said("too");
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
fn jobs_that_cannot_be_read_are_a_failure_with_a_remedy_and_start_nothing() {
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
fn a_job_longer_than_a_frame_may_be_fails_alone_and_says_by_how_much() {
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
fn a_reply_longer_than_a_frame_may_be_is_its_jobs_failure_and_no_other_notices() {
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
fn an_idle_worker_that_is_stopped_holds_up_no_job() {
    let (run, mut asker) = echo().with("--depth 8").jsonl().asked();
    let run = run.start();
    // Both take jobs once two at a time are done by two.
    let (mut last, mut pids) = (0, [0; 2]);
    until("jobs for both", || {
        asker.ask("a\nb");
        last += 2;
        let attempt = |id| run.job(id)["attempts"][0].clone();
        pids = [pid(&attempt(last - 1)), pid(&attempt(last))];
        pids[0] != pids[1]
    });
    send(pids[0], Signal::SIGSTOP);
    until("the stop", || procfs::stat(pids[0]).is_some_and(|stat| stat.state == 'T'));
    for _ in 0..10 {
        asker.ask(&"c\n".repeat(30));
        last += 31;
        (last - 30..=last).for_each(|id| assert!(is_untouched(&run.job(id))));
    }
    send(pids[0], Signal::SIGCONT);
    drop(asker);
    let run = run.finish();
    assert!(run.code() == Some(0) && run.jobs().iter().all(is_untouched), "{}", run.stderr);
}

#[test]
fn few_jobs_start_few_workers() {
    let run = Run::worker("echo").with("--workers 200").jsonl().given(["a", "b", "c"]).finish();
    replied(&run, &["a", "b", "c"]);
    // A few are begun before the jobs are known to be few.
    let started = run.records("started").len();
    assert!((1..=20).contains(&started), "{started} started");
    assert_eq!(run.records("ended").len(), 200);
    assert_eq!(run.stderr.lines().count(), 1, "{}", run.stderr);
}
