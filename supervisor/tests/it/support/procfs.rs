//! Processes as the kernel describes them below `/proc`.

use std::{
    fs, mem,
    time::{Duration, Instant},
};

pub(crate) use process::proc::Stat;
use process::proc::{Fields, has_variable, pids};

use super::until;

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    Stat::read(pid)
}

/// Whether the process is alive; a zombie is not.
pub(crate) fn is_alive(pid: i32) -> bool {
    stat(pid).is_some_and(|stat| !stat.has_ended())
}

/// A process's children, zombies included.
pub(crate) fn children(parent: i32) -> Vec<Stat> {
    pids().filter_map(stat).filter(|stat| stat.parent == parent).collect()
}

/// The processes that have `NAME=value` in their environment.
pub(crate) fn with_environment(pair: &str) -> Vec<i32> {
    pids().filter(|pid| has_variable(*pid, pair.as_bytes())).collect()
}

/// The PID of the current worker of this slot.
pub(crate) fn worker(supervisor: i32, number: usize) -> Option<i32> {
    let pair = format!("SUPERVISOR_WORKER={number}");
    let is_it = |child: &Stat| child.has_variable(pair.as_bytes());
    let mut own = children(supervisor).into_iter().filter(is_it);
    own.next().map(|child| child.pid)
}

/// A value in KiB from `/proc/PID/status`.
pub(crate) fn status_kib(pid: i32, name: &str) -> u64 {
    Fields::status(pid).unwrap().bytes(name).unwrap() / 1024
}

/// Voluntary context switches and nanoseconds of CPU time of all threads. They do not change while
/// the process is idle.
fn activity(pid: i32) -> (u64, u64) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of_task = |task: &fs::DirEntry| {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let sleeps = Fields::from(read("status")).number("voluntary_ctxt_switches");
        let ran_ns = read("schedstat").split(' ').next().and_then(|ns| ns.trim().parse().ok());
        (sleeps.unwrap_or(0), ran_ns.unwrap_or(0))
    };
    tasks.map(|task| of_task(&task)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Waits until a process has been idle for this long.
pub(crate) fn until_idle(pid: i32, time: Duration) {
    let (mut before, mut since) = (activity(pid), Instant::now());
    until("an idle process", || {
        let now = activity(pid);
        if now != mem::replace(&mut before, now) {
            since = Instant::now();
        }
        since.elapsed() > time
    });
}

/// All descendants of a process.
pub(crate) fn descendants(of: i32) -> Vec<i32> {
    let all: Vec<Stat> = pids().filter_map(stat).collect();
    let mut found = vec![of];
    let mut at = 0;
    while let Some(parent) = found.get(at).copied() {
        found.extend(all.iter().filter(|stat| stat.parent == parent).map(|stat| stat.pid));
        at += 1;
    }
    found.split_off(1)
}

/// The command name, as in `/proc/PID/comm`.
pub(crate) fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().into()
}
