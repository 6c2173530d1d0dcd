//! A run with jobs is stopped, or its output closes: running jobs finish or are stopped step by step,
//! other jobs are reported as not run, and no finished job is lost.

use std::{
    fs::{File, OpenOptions},
    io::{PipeReader, PipeWriter, Read, pipe},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use crate::support::{
    Finished, Run, Running, Signal, fixture,
    jobs::{causes, is_untouched},
    load, procfs, send,
    tap::Tap,
    until,
};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;

/// Starts a run of one worker, and waits until the first job runs.
fn running(run: Run, first: &str) -> Running {
    let first = format!("print on; {first}");
    let run = run.with("--workers 1 --depth 4").jsonl();
    let run = run.given([&first, "two", "three", "four", "five", "six"]).start();
    run.printed("on");
    run
}

/// Checks that the first job ended with this status and that no other started.
fn others_were_not_run(run: &Finished, first: &str, signal: Signal) {
    let mut expected = vec!["not_run"; 6];
    expected[0] = first;
    assert_eq!(run.statuses(), expected, "{}", run.stderr);
    for job in &run.jobs()[1..] {
        assert!(job["attempts"] == json!([]) && job["input"].is_string(), "{job}");
    }
    assert_eq!(run.signal(), Some(signal), "{:?}", run.status);
}

#[test]
fn the_first_signal_finishes_the_running_job_and_starts_no_other() {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGQUIT] {
        let run = running(Run::worker("work"), "sleep 500");
        run.signal(signal);
        let run = run.finish();
        others_were_not_run(&run, "ok", signal);
        assert!(is_untouched(&run.jobs()[0]));
        assert!(run.summary().starts_with("6 jobs: 1 ok, 5 not run; "), "{}", run.stderr);
        let ended = run.records("ended").remove(0);
        assert_eq!((&ended["code"], &ended["killed"]), (&json!(0), &json!(false)), "{ended}");
    }
}

#[test]
fn a_job_that_fails_during_a_stop_counts_as_failed() {
    let run = running(Run::worker("work"), "sleep 500; fail x");
    run.signal(Signal::SIGINT);
    others_were_not_run(&run.finish(), "failed", Signal::SIGINT);
    let run = running(Run::worker("work").with("--crash-retries 0"), "sleep 500; segv");
    run.signal(Signal::SIGINT);
    others_were_not_run(&run.finish(), "quarantined", Signal::SIGINT);
}

#[test]
fn a_running_job_is_stopped_after_the_grace_period() {
    let run = running(Run::worker("work").with("--grace 500ms"), "hang");
    let begun = Instant::now();
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    others_were_not_run(&run, "interrupted", Signal::SIGINT);
    // The job started, and its end is not charged.
    let job = run.jobs().remove(0);
    assert_eq!(causes(&job), ["shutdown"]);
    assert_eq!(job["attempts"][0]["uncharged"], true, "{job}");
    assert!(
        run.summary().starts_with("6 jobs: 0 ok, 1 interrupted, 5 not run; "),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("\nsupervisor: interrupted: job 1\n"), "{}", run.stderr);
}

#[test]
fn the_second_signal_stops_the_worker() {
    let run = running(Run::worker("work").with("--grace 60s"), "hang");
    let begun = Instant::now();
    run.signal(Signal::SIGINT);
    until("the worker's end", || {
        // Signals within a second of the first count as the first.
        run.signal(Signal::SIGINT);
        run.workers().is_empty()
    });
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let run = run.finish();
    others_were_not_run(&run, "interrupted", Signal::SIGINT);
    let ended = run.records("ended").remove(0);
    assert_eq!((&ended["signal"], &ended["killed"]), (&json!("SIGTERM"), &json!(false)), "{ended}");
}

#[test]
fn the_third_signal_kills_the_worker() {
    let script = "trap '' TERM; exec \"$0\"";
    let work = Run::of(["sh", "-c", script, &fixture("work")]).with("--grace 60s");
    let run = running(work, "hang");
    let begun = Instant::now();
    until("the worker's end", || {
        run.signal(Signal::SIGTERM);
        run.workers().is_empty()
    });
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    let run = run.finish();
    others_were_not_run(&run, "interrupted", Signal::SIGTERM);
    let ended = run.records("ended").remove(0);
    assert_eq!((&ended["signal"], &ended["killed"]), (&json!("SIGKILL"), &json!(true)), "{ended}");
}

#[test]
fn a_signal_repeated_at_once_counts_once() {
    // `timeout` signals its child and then its group, which includes the supervisor.
    let run = Run::worker("work").with("--workers 1").jsonl().under(["timeout", "1"]);
    let run = run.given(["sleep 2500", "two"]).finish();
    assert_eq!(run.code(), Some(124), "{}", run.stderr);
    assert_eq!(run.statuses(), ["ok", "not_run"]);
    let run = running(Run::worker("work"), "sleep 500");
    run.signal(Signal::SIGINT);
    run.stderr.until("the stop", |text| text.contains("SIGINT: stopping").then_some(()));
    run.signal(Signal::SIGTERM);
    others_were_not_run(&run.finish(), "ok", Signal::SIGINT);
}

#[test]
fn a_stop_does_not_wait_for_more_input() {
    let (run, mut feed) = Run::worker("echo").with("--workers 2").jsonl().fed_live();
    let run = run.start();
    feed.push("one");
    run.job(1);
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!((run.statuses(), run.signal()), (vec!["ok".into()], Some(Signal::SIGINT)));
    drop(feed);
}

/// Lines of 100 bytes that begin with their number.
fn many(count: usize) -> String {
    (0..count).map(|n| format!("{n:<99}\n")).collect()
}

#[test]
fn a_closed_stdout_ends_the_run_quietly() {
    for options in ["", "--format jsonl", "-k", "--depth 1"] {
        let (mut reader, writer) = pipe().unwrap();
        let run = Run::worker("echo").with("--workers 2").with(options).stdout(writer);
        let run = run.fed(many(100_000)).start();
        reader.read_exact(&mut [0; 100]).unwrap();
        let begun = Instant::now();
        drop(reader);
        let run = run.finish();
        assert!(begun.elapsed() < Duration::from_secs(5), "{options}: {:?}", begun.elapsed());
        assert_eq!(run.signal(), Some(Signal::SIGPIPE), "{options}: {:?}", run.status);
        assert_eq!(run.stderr, "", "{options}");
    }
}

/// Waits until a pipe that nobody reads is full.
fn until_full(own: PipeWriter) {
    let mut watched = [PollFd::new(own.as_fd(), PollFlags::POLLOUT)];
    until("a full pipe", || poll(&mut watched, PollTimeout::ZERO).unwrap() == 0);
    drop(own);
}

fn stopped_reader(run: Run, sorted: bool) {
    const JOBS: usize = 300_000;
    let (reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
    let own = writer.try_clone().unwrap();
    let run = run.with("--workers 2").piped(many(JOBS)).stdout(writer).start();
    until_full(own);
    procfs::until_idle(run.supervisor(), Duration::from_millis(200));
    let (rss, peak) = (
        procfs::status_kib(run.supervisor(), "VmRSS"),
        procfs::status_kib(run.supervisor(), "VmHWM"),
    );
    println!("with a stopped reader: {rss} KiB, {peak} KiB at most");
    assert!(rss < 32 << 10 && peak < 32 << 10, "{rss} KiB, {peak} KiB");
    // Supervision continues.
    let old = procfs::worker(run.supervisor(), 1);
    send(old.unwrap(), Signal::SIGKILL);
    until("a replacement", || ![old, None].contains(&procfs::worker(run.supervisor(), 1)));
    let stdout = Tap::new(reader);
    stdout.until_length(JOBS * 100 / 2);
    let peak = procfs::status_kib(run.supervisor(), "VmHWM");
    assert!(peak < 32 << 10, "{peak} KiB while it reads on");
    let run = run.finish();
    assert_eq!(run.code(), Some(0), "{}", run.stderr);
    let text = String::from_utf8(stdout.rest()).unwrap();
    let mut numbers: Vec<usize> = text.lines().map(|line| line.trim().parse().unwrap()).collect();
    if !sorted {
        numbers.sort_unstable();
    }
    assert!(numbers.into_iter().eq(0..JOBS), "something is missing, or there twice");
}

#[test]
fn a_stalled_reader_costs_no_memory_and_loses_nothing() {
    let _quiet = load::quiet();
    stopped_reader(Run::worker("echo"), false);
}

#[test]
fn a_stalled_reader_costs_no_memory_with_keep_order() {
    let _quiet = load::quiet();
    stopped_reader(Run::worker("echo").with("--keep-order"), true);
}

#[test]
fn a_full_disk_stops_the_run_with_a_message() {
    for options in ["", "--format jsonl", "--keep-order"] {
        let full: File = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let run = Run::worker("echo").with("--workers 2").with(options).stdout(full);
        let run = run.fed(many(20_000)).finish();
        assert_eq!(run.code(), Some(5), "{options}: {}", run.stderr);
        let [message] = run.messages()[..] else { panic!("{}", run.stderr) };
        assert!(message.contains("stdout cannot be written: No space left"), "{message}");
    }
}

#[test]
fn a_killed_supervisor_takes_its_workers_along() {
    let run = running(Run::worker("work"), "hang");
    let own = run.first_pids(1);
    run.signal(Signal::SIGKILL);
    until("the worker's end", || !procfs::is_alive(own[0]));
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
    // An idle worker ends, too, since its pipe closes.
    let (run, mut feed) = Run::worker("echo").with("--workers 2").jsonl().fed_live();
    let run = run.start();
    feed.push("one");
    assert_eq!(causes(&run.job(1)), ["ok"]);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn a_launcher_with_only_retracted_jobs_still_receives_term() {
    let script = "until test -e {}; do sleep 0.01; done";
    let (run, mut feed) = Run::each_sh(script).with("-w 2").fed_live();
    let run = run.jsonl().start();
    // The third job is prefetched behind one of these, and retracted.
    feed.push("a\nb\nc");
    let pids = run.first_pids(2);
    let go = |name: &str| std::fs::write(run.scratch_path().join(name), "").unwrap();
    until("two that wait", || pids.iter().all(|pid| !procfs::children(*pid).is_empty()));
    go("c");
    ["b", "a"].iter().for_each(|name| go(name));
    (1..=3).for_each(|id| drop(run.job(id)));
    let forget = |name| std::fs::remove_file(run.scratch_path().join(name)).unwrap();
    ["a", "b", "c"].into_iter().for_each(forget);
    pids.iter().for_each(|pid| send(*pid, Signal::SIGTERM));
    (1..=2).for_each(|worker| drop(run.stdout.record("ended", worker, 1)));
    drop(feed);
    assert_eq!(run.finish().code(), Some(0));
}

#[test]
fn a_worker_that_has_to_be_killed_at_the_end_is_reported() {
    let run = Run::of([fixture("deaf"), "ignore".into(), fixture("vile"), "lingers".into()]);
    let run = run.with("--workers 1 --grace 200ms").jsonl().given(["a"]).finish();
    assert_eq!((run.code(), run.statuses()), (Some(0), vec!["ok".to_owned()]), "{}", run.stderr);
    assert!(
        run.stderr.contains(" ended: code 137 (SIGKILL, asked to stop: killed)"),
        "{}",
        run.stderr
    );
}
