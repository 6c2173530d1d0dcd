//! Floods of output, and readers that stall, close or fail: supervision continues, and no output is
//! lost without a message.

use std::{
    fs::OpenOptions,
    io::{PipeReader, PipeWriter, Read, pipe},
    os::fd::AsFd,
    time::{Duration, Instant},
};

use crate::support::{Run, Signal, procfs, send, tap::Tap, until};
use nix::{
    fcntl::{FcntlArg, OFlag, fcntl},
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

#[test]
fn a_flood_of_output_is_complete_and_costs_little_memory() {
    const BYTES: usize = 50 << 20;
    let script = format!("yes | head -c {BYTES}; exec sleep 1000");
    let run = Run::sh(&script).with("--output raw").start();
    run.stdout.until_length(BYTES);
    let peak_kib = procfs::status_kib(run.supervisor(), "VmHWM");
    assert!(peak_kib < 32 << 10, "{peak_kib} KiB");
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert!(run.stdout[..BYTES].chunks(2).all(|line| line == b"y\n"));
    assert!(run.stdout[BYTES..].starts_with(b"Task 1 (PID "));
}

/// A pipe that nobody reads yet: its reader, its writer, and a second writer for [`until_full`].
fn unread() -> (PipeReader, PipeWriter, PipeWriter) {
    let (reader, writer) = pipe().unwrap();
    let own = writer.try_clone().unwrap();
    (reader, writer, own)
}

fn until_full(own: PipeWriter) {
    let mut watched = [PollFd::new(own.as_fd(), PollFlags::POLLOUT)];
    until("a full pipe", || poll(&mut watched, PollTimeout::ZERO).unwrap() == 0);
    // Otherwise the reader would never see the end of the stream.
    drop(own);
}

#[test]
fn a_stalled_reader_does_not_stop_supervision() {
    let (reader, writer, own) = unread();
    let script = "[ $SUPERVISOR_WORKER = 2 ] || { seq 1 300000; echo end; }; exec sleep 1000";
    let run = Run::sh(script).with("--workers 2 --restart always").stdout(writer).start();
    until_full(own);
    for _ in 0..3 {
        let worker = || procfs::worker(run.supervisor(), 2);
        let mut old = None;
        until("a second worker", || {
            old = worker();
            old.is_some()
        });
        send(old.unwrap(), Signal::SIGKILL);
        until("its replacement", || worker().is_some_and(|new| Some(new) != old));
    }
    let stdout = Tap::new(reader);
    stdout.until("all of it", |text| text.ends_with("[1] end\n").then_some(()));
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
    let text = String::from_utf8(stdout.rest()).unwrap();
    let numbers = text.lines().filter_map(|line| line.strip_prefix("[1] "));
    let expected = (1..=300_000).map(|number: u32| number.to_string()).chain(["end".into()]);
    assert!(numbers.eq(expected), "something is missing or out of order");
}

/// More than the buffers between worker and reader hold without the worker's own pipe, so that the
/// worker can end before anything is read.
const LAST_BYTES: usize = 340 << 10;

#[test]
fn the_last_output_is_complete_however_late_it_is_read() {
    for _ in 0..20 {
        let (reader, writer, own) = unread();
        let script = format!("yes | head -c {LAST_BYTES}");
        let run = Run::sh(&script).with("--output raw").stdout(writer).start();
        until_full(own);
        until("the worker's end", || run.workers().is_empty());
        let stdout = Tap::new(reader);
        assert_eq!(run.finish().code(), Some(0));
        let all = stdout.rest();
        let task = all.windows(5).position(|part| part == b"Task ").unwrap();
        assert_eq!(task, LAST_BYTES, "of {} bytes in all", all.len());
        assert!(all[..task].chunks(2).all(|line| line == b"y\n"));
    }
}

#[test]
fn a_stop_waits_for_a_stalled_reader_only_for_the_grace_period() {
    let (reader, writer, own) = unread();
    let run = Run::of(["yes"]).with("--workers 2 --grace 300ms").stdout(writer).start();
    until_full(own);
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
    drop(reader);
}

#[test]
fn a_closed_stdout_ends_the_run_quietly() {
    let forms = ["", "--restart always", "--output raw", "--format jsonl"];
    for options in forms.repeat(3) {
        let (mut reader, writer) = pipe().unwrap();
        let run = Run::of(["yes"]).with("--workers 2").with(options).stdout(writer).start();
        reader.read_exact(&mut [0; 100]).unwrap();
        let begun = Instant::now();
        drop(reader);
        let run = run.finish();
        assert!(begun.elapsed() < Duration::from_secs(5), "{options}: {:?}", begun.elapsed());
        assert_eq!(run.signal(), Some(Signal::SIGPIPE), "{options}: {:?}", run.status);
        let only_a_table = |line: &str| line.starts_with("worker ") || line.starts_with('w');
        assert!(run.stderr.lines().all(only_a_table), "{options}: {}", run.stderr);
    }
}

#[test]
fn a_full_disk_does_not_stop_a_service() {
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = Run::sh("echo lost; echo ready >&2; exec sleep 1000").with("--restart always");
    let run = run.with("--events /dev/full").stdout(full).start();
    run.stderr.until("the message", |text| text.contains("stdout cannot be").then_some(()));
    run.stderr.until("the service", |text| text.contains("ready").then_some(()));
    run.signal(Signal::SIGTERM);
    let run = run.finish();
    assert_eq!(run.signal(), Some(Signal::SIGTERM), "{}", run.stderr);
    for name in ["stdout", "--events /dev/full"] {
        let message =
            format!("supervisor: {name} cannot be written: No space left on device: its lines");
        assert_eq!(run.stderr.matches(&message).count(), 1, "{}", run.stderr);
    }
    assert!(run.stderr.contains(" bytes of output were dropped, because "), "{}", run.stderr);
}

#[test]
fn the_deadline_bounds_a_run_whose_reader_has_stopped() {
    for script in ["head -c 200000 /dev/zero", "head -c 200000 /dev/zero; sleep 600"] {
        let (reader, writer) = pipe().unwrap();
        let begun = Instant::now();
        let run = Run::each_sh(script).with("-w 2 --deadline 1s --grace 200ms");
        let run = run.given((1..=10).map(|n| n.to_string())).stdout(writer).finish();
        assert_eq!(run.code(), Some(124), "{}", run.stderr);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
        drop(reader);
    }
}

#[test]
fn a_closed_stderr_is_harmless() {
    let (reader, writer) = pipe().unwrap();
    drop(reader);
    let script = "for n in 1 2 3; do echo err >&2; done; echo out; exit 3";
    let run = Run::sh(script).stderr(writer).finish();
    assert_eq!((run.lines()[0], run.code()), ("[1] out", Some(1)));
}

#[test]
fn inherited_stdout_and_stderr_stay_blocking() {
    let ((mut out, stdout), (mut err, stderr)) = (pipe().unwrap(), pipe().unwrap());
    let run = Run::sh("seq 1 1000; seq 1 1000 >&2; echo up; exec sleep 1000");
    let run = run.stdout(stdout.try_clone().unwrap()).stderr(stderr.try_clone().unwrap()).start();
    let is_blocking = |fd: &dyn AsFd| {
        let flags = fcntl(fd.as_fd(), FcntlArg::F_GETFL).unwrap();
        !OFlag::from_bits_retain(flags).contains(OFlag::O_NONBLOCK)
    };
    let mut first = [0; 1000];
    out.read_exact(&mut first).unwrap();
    err.read_exact(&mut first).unwrap();
    assert!(is_blocking(&stdout) && is_blocking(&stderr), "while it runs");
    run.signal(Signal::SIGTERM);
    assert_eq!(run.finish().signal(), Some(Signal::SIGTERM));
    assert!(is_blocking(&stdout) && is_blocking(&stderr), "after the run");
}
