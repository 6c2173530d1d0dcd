//! A run with jobs is asked to stop, or its output goes away: what runs is finished or ended rung
//! by rung, what was not begun is told as that, and nothing that was done is lost.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    fs::{File, OpenOptions},
    io::{PipeReader, PipeWriter, Read, pipe},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use serde_json::json;
use support::{
    Finished, Run, Running, Signal, fixture,
    jobs::{causes, is_untouched},
    procfs, send,
    tap::Tap,
    until,
};

/// Starts a run of one worker, whose first job says that it runs.
fn running(run: Run, first: &str) -> Running {
    let first = format!("print on; {first}");
    let run = run.with("--workers 1 --depth 4").jsonl();
    let run = run.given([&first, "two", "three", "four", "five", "six"]).start();
    run.said("on");
    run
}

/// The first job ended so, and no other was begun.
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
fn the_first_signal_lets_the_running_job_finish_and_starts_no_other() {
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
fn a_job_that_fails_while_the_run_stops_has_failed() {
    let run = running(Run::worker("work"), "sleep 500; fail x");
    run.signal(Signal::SIGINT);
    others_were_not_run(&run.finish(), "failed", Signal::SIGINT);
    let run = running(Run::worker("work").with("--crash-retries 0"), "sleep 500; segv");
    run.signal(Signal::SIGINT);
    others_were_not_run(&run.finish(), "quarantined", Signal::SIGINT);
}

#[test]
fn a_running_job_has_no_longer_than_the_grace() {
    let run = running(Run::worker("work").with("--grace 500ms"), "hang");
    let begun = Instant::now();
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert!(begun.elapsed() >= Duration::from_millis(500));
    others_were_not_run(&run, "not_run", Signal::SIGINT);
    // It was begun, and its end is nobody's fault.
    let job = run.jobs().remove(0);
    assert_eq!(causes(&job), ["shutdown"]);
    assert_eq!(job["attempts"][0]["uncharged"], true, "{job}");
}

#[test]
fn the_second_signal_asks_the_worker_to_end() {
    let run = running(Run::worker("work").with("--grace 60s"), "hang");
    let begun = Instant::now();
    run.signal(Signal::SIGINT);
    until("the worker's end", || {
        // Whatever comes within a second of the first counts as the first.
        run.signal(Signal::SIGINT);
        run.workers().is_empty()
    });
    assert!(begun.elapsed() >= Duration::from_secs(1), "{:?}", begun.elapsed());
    let run = run.finish();
    others_were_not_run(&run, "not_run", Signal::SIGINT);
    let ended = run.records("ended").remove(0);
    assert_eq!((&ended["signal"], &ended["killed"]), (&json!("SIGTERM"), &json!(false)), "{ended}");
}

#[test]
fn the_third_signal_kills() {
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
    others_were_not_run(&run, "not_run", Signal::SIGTERM);
    let ended = run.records("ended").remove(0);
    assert_eq!((&ended["signal"], &ended["killed"]), (&json!("SIGKILL"), &json!(true)), "{ended}");
}

#[test]
fn a_signal_that_comes_twice_at_once_counts_once() {
    // `timeout` signals its child and then its group, the supervisor among them.
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
fn jobs_that_would_still_come_are_not_waited_for() {
    let (run, mut asker) = Run::worker("echo").with("--workers 2").jsonl().asked();
    let run = run.start();
    asker.ask("one");
    run.job(1);
    run.signal(Signal::SIGINT);
    let run = run.finish();
    assert_eq!((run.statuses(), run.signal()), (vec!["ok".into()], Some(Signal::SIGINT)));
    drop(asker);
}

/// So many lines of a hundred bytes, each with its number in front.
fn many(count: usize) -> String {
    (0..count).map(|n| format!("{n:<99}\n")).collect()
}

#[test]
fn a_closed_stdout_ends_the_run_quietly_and_soon() {
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

/// Waits until a pipe that nobody reads takes no more.
fn until_full(own: PipeWriter) {
    let mut watched = [PollFd::new(own.as_fd(), PollFlags::POLLOUT)];
    until("a full pipe", || poll(&mut watched, PollTimeout::ZERO).unwrap() == 0);
    drop(own);
}

/// Waits until a process has done nothing for a fifth of a second.
fn until_at_rest(pid: i32) {
    let (mut before, mut since) = (procfs::activity(pid), Instant::now());
    until("rest", || {
        let now = procfs::activity(pid);
        if now != std::mem::replace(&mut before, now) {
            since = Instant::now();
        }
        since.elapsed() > Duration::from_millis(200)
    });
}

fn stopped_reader(run: Run, sorted: bool) {
    const JOBS: usize = 300_000;
    let (reader, writer): (PipeReader, PipeWriter) = pipe().unwrap();
    let own = writer.try_clone().unwrap();
    let run = run.with("--workers 2").piped(many(JOBS)).stdout(writer).start();
    until_full(own);
    until_at_rest(run.supervisor());
    let (rss, peak) = (
        procfs::status_kib(run.supervisor(), "VmRSS"),
        procfs::status_kib(run.supervisor(), "VmHWM"),
    );
    println!("with a stopped reader: {rss} KiB, {peak} KiB at most");
    assert!(rss < 32 << 10 && peak < 32 << 10, "{rss} KiB, {peak} KiB");
    // Supervision goes on.
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
fn a_reader_that_stops_costs_no_memory_and_loses_nothing() {
    stopped_reader(Run::worker("echo"), false);
}

#[test]
fn a_reader_that_stops_costs_no_memory_in_order_either() {
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
fn a_supervisor_that_is_killed_takes_its_workers_along() {
    let run = running(Run::worker("work"), "hang");
    let own = run.first_pids(1);
    run.signal(Signal::SIGKILL);
    until("the worker's end", || !procfs::is_alive(own[0]));
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
    // One between jobs ends as well: its pipe does.
    let (run, mut asker) = Run::worker("echo").with("--workers 2").jsonl().asked();
    let run = run.start();
    asker.ask("one");
    assert_eq!(causes(&run.job(1)), ["ok"]);
    run.signal(Signal::SIGKILL);
    assert_eq!(run.finish().signal(), Some(Signal::SIGKILL));
}

#[test]
fn a_launcher_to_which_nothing_but_what_was_recalled_came_still_hears_that_it_is_to_end() {
    let script = "until test -e {}; do sleep 0.01; done";
    let (run, mut asker) = Run::each_sh(script).with("-w 2").asked();
    let run = run.jsonl().start();
    // The third is sent ahead behind one of these, and asked back.
    asker.ask("a\nb\nc");
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
    drop(asker);
    assert_eq!(run.finish().code(), Some(0));
}
