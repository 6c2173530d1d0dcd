//! How soon is everything gone that descends from a supervisor? And what does it cost to watch
//! over the memory of many?

use std::{
    env, fs,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use ::process::proc::{Stat, has_variable, pids};

use crate::{Run, SUPERVISOR, UNTIL_READY, median, row, signal, until};

/// A variable by which all processes of these runs are known.
const MARK: &str = "SUPERVISOR_BENCH_ORPHANS=1";

pub(crate) fn kills() {
    let rounds: usize = env::var("KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(10);
    for (who, inner) in [("supervisor", true), ("warden", false)] {
        let mut times: Vec<f64> = (0..rounds).map(|_| kill(512, inner)).collect();
        times.sort_by(f64::total_cmp);
        let worst = times[times.len() - 1];
        row(
            &format!("kill -9 of the {who}: 512 workers and 256 hiders, all gone"),
            &format!("{:.0} ms", median(times) * 1e3),
            &format!("worst {:.0} ms", worst * 1e3),
            &format!("{rounds}x"),
            "median <= 50 ms, worst <= 150 ms",
        );
    }
    daemons();
    nothing();
}

/// Half of the workers have a child in a session of its own.
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
    // The kernel tells of each that it is gone; to ask for all again and again would slow it.
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

/// Fifty daemons are gone with their worker.
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
    row("a worker's 50 daemons, from TERM to our end", &took, "", "-", "<= 20 ms");
}

/// From start to end of a program that does nothing.
fn nothing() {
    let time = |command: &mut Command| {
        let began = Instant::now();
        assert!(command.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success());
        began.elapsed().as_secs_f64()
    };
    let (mut ours, mut bare) = (Vec::new(), Vec::new());
    for _ in 0..51 {
        ours.push(time(Command::new(SUPERVISOR).args(["run", "--", "true"])));
        bare.push(time(&mut Command::new("true")));
    }
    let (ours, bare) = (median(ours) * 1e3, median(bare) * 1e3);
    row(
        "`supervisor run -- true`, from start to end",
        &format!("{ours:.1} ms"),
        &format!("{bare:.1} ms"),
        "-",
        "<= 5 ms more than true",
    );
}

/// What watching costs: our CPU time, above that without a limit.
pub(crate) fn watch(seconds: u64) {
    let without = cost(&["--workers", "512"], &["sleep", "1000"], seconds);
    let bomb = crate::example("bomb");
    let far = ["--workers", "512", "--memory", "1G"];
    let near = ["--workers", "512", "--memory", "20M"];
    for (name, options, program, goal) in [
        ("far from their limit", &far, &["sleep", "1000"][..], "< 1 %"),
        ("near it", &near, &[bomb.as_str(), "shared", "18"][..], "< 5 %"),
    ] {
        let with = cost(options, program, seconds);
        row(
            &format!("512 watched workers, {name}: of a processor"),
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

/// No more there, or a zombie that its parent reaps.
fn is_gone(pid: i32) -> bool {
    Stat::read(pid).is_none_or(|stat| stat.has_ended())
}
