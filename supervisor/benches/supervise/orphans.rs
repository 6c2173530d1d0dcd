//! Measures how soon all descendants of a supervisor are gone after its end, and the cost of watching
//! the memory of many workers.

use std::{
    env, fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ::process::proc::{Stat, has_variable, pids};

use crate::{Run, SUPERVISOR, UNTIL_READY, median, row, signal, until};

/// A variable that marks all processes of these runs.
const MARK: &str = "SUPERVISOR_BENCH_ORPHANS=1";

pub(crate) fn kills() {
    let rounds: usize = env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    for (name, inner) in [("supervisor", true), ("warden", false)] {
        let mut times: Vec<f64> = (0..rounds).map(|_| kill(512, inner)).collect();
        times.sort_by(f64::total_cmp);
        let worst = times[times.len() - 1];
        row(
            &format!("kill -9 of the {name}: 512 workers and 256 daemons, all gone"),
            &format!("{:.0} ms", median(times) * 1e3),
            &format!("worst {:.0} ms", worst * 1e3),
            &format!("{rounds}x"),
            "median <= 50 ms, worst <= 150 ms",
        );
    }
    daemons();
    nothing();
}

/// Kills the supervisor or its warden, and returns the seconds until no process is left. Half of the
/// workers have a child in another session.
fn kill(workers: usize, inner: bool) -> f64 {
    let script = "[ $((SUPERVISOR_WORKER % 2)) = 0 ] || setsid sleep 1000 & exec sleep 1000";
    let count = workers.to_string();
    let words = ["--workers", &count, "--env", MARK, "--", "sh", "-c", script];
    let run = Run::new(&words);
    let is_sleep = |pid: &i32| {
        fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name == "sleep\n")
    };
    until(|| marked().iter().filter(|pid| is_sleep(pid)).count() == workers + workers / 2);
    let all = marked();
    thread::sleep(UNTIL_READY);
    let began = Instant::now();
    signal(if inner { run.supervisor() } else { run.pid() }, libc::SIGKILL);
    // Asks for one process at a time: reading the whole process table in a loop would slow the kernel
    // down.
    let mut left = all;
    while let Some(pid) = left.last() {
        if is_gone(*pid) {
            left.pop();
        } else {
            thread::sleep(Duration::from_micros(500));
        }
    }
    let took = began.elapsed().as_secs_f64();
    assert!(marked().is_empty(), "nothing is left");
    took
}

/// Measures the end of a worker that has started fifty daemons.
fn daemons() {
    let script = "for n in $(seq 50); do (setsid sleep 1000 &); done; exec sleep 1000";
    let times = (0..11).map(|_| {
        let mut run = Run::new(&["--env", MARK, "--", "sh", "-c", script]);
        until(|| marked().len() == 51);
        let began = Instant::now();
        run.stop();
        let took = began.elapsed().as_secs_f64();
        assert!(marked().is_empty(), "nothing is left");
        took
    });
    let took = format!("{:.1} ms", median(times.collect()) * 1e3);
    row("a worker's 50 daemons, from TERM to the run's end", &took, "", "-", "<= 20 ms");
}

/// Measures a run of a program that does nothing, from its start to its end.
fn nothing() {
    let time = |command: &mut Command| {
        let began = Instant::now();
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        began.elapsed().as_secs_f64()
    };
    let (mut measured, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        measured.push(time(Command::new(SUPERVISOR).args(["run", "--", "true"])));
        bare.push(time(&mut Command::new("true")));
    }
    let (measured, bare) = (median(measured) * 1e3, median(bare) * 1e3);
    row(
        "`supervisor run -- true`, from start to end",
        &format!("{measured:.1} ms"),
        &format!("{bare:.1} ms"),
        "-",
        "<= 5 ms more than true",
    );
}

/// Measures the CPU time of a supervisor that watches the memory of its workers, beside that of one
/// without a memory limit.
pub(crate) fn watch(seconds: u64) {
    let without = cost(&["--workers", "512"], &["sleep", "1000"], seconds);
    let bomb = crate::example("bomb");
    let far = ["--workers", "512", "--memory", "1G"];
    let near = ["--workers", "512", "--memory", "20M"];
    for (name, options, program, goal) in [
        ("far from the limit", &far, &["sleep", "1000"][..], "< 1 %"),
        ("near the limit", &near, &[bomb.as_str(), "shared", "18"][..], "< 5 %"),
    ] {
        let with = cost(options, program, seconds);
        row(
            &format!("512 watched workers, {name}: share of a processor"),
            &format!("{:.2} %", with * 1e2),
            &format!("{:.2} %", without * 1e2),
            "-",
            goal,
        );
    }
}

fn cost(options: &[&str], program: &[&str], seconds: u64) -> f64 {
    let mut run = Run::new(&[options, &["--env", MARK, "--"], program].concat());
    until(|| marked().len() == 512);
    thread::sleep(UNTIL_READY);
    let (pid, began) = (run.supervisor(), Instant::now());
    let before = cpu_ns(pid);
    thread::sleep(Duration::from_secs(seconds));
    let used = (cpu_ns(pid) - before) as f64 / began.elapsed().as_nanos() as f64;
    run.stop();
    used
}

fn cpu_ns(pid: i32) -> u64 {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of = |thread: fs::DirEntry| -> u64 {
        let text = fs::read_to_string(thread.path().join("schedstat")).unwrap();
        text.split(' ').next().unwrap().parse().unwrap()
    };
    threads.map(of).sum()
}

fn marked() -> Vec<i32> {
    pids().filter(|pid| has_variable(*pid, MARK.as_bytes())).collect()
}

/// Whether the process is gone, or a zombie.
fn is_gone(pid: i32) -> bool {
    Stat::read(pid).is_none_or(|stat| stat.has_ended())
}
