//! Processes as the kernel describes them below `/proc`.

use std::fs;

pub(crate) use process::proc::Stat;
use process::proc::{Fields, has_variable, pids};

pub(crate) fn stat(pid: i32) -> Option<Stat> {
    Stat::read(pid)
}

/// Whether it lives; a zombie does not.
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

/// The process that is this supervisor's worker of this number now.
pub(crate) fn worker(supervisor: i32, number: usize) -> Option<i32> {
    let pair = format!("SUPERVISOR_WORKER={number}");
    let is_it = |child: &Stat| child.has_variable(pair.as_bytes());
    let mut own = children(supervisor).into_iter().filter(is_it);
    own.next().map(|child| child.pid)
}

/// A line of `/proc/PID/status` that is a number of KiB.
pub(crate) fn status_kib(pid: i32, name: &str) -> u64 {
    Fields::status(pid).unwrap().bytes(name).unwrap() / 1024
}

/// What a process has done so far, by how often its threads went to sleep and how long they ran.
/// One that rests does not add to it.
pub(crate) fn activity(pid: i32) -> (u64, u64) {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).unwrap().flatten();
    let of_task = |task: &fs::DirEntry| {
        let read = |name| fs::read_to_string(task.path().join(name)).unwrap_or_default();
        let sleeps = Fields::from(read("status")).number("voluntary_ctxt_switches");
        let ran_ns = read("schedstat").split(' ').next().and_then(|ns| ns.trim().parse().ok());
        (sleeps.unwrap_or(0), ran_ns.unwrap_or(0))
    };
    tasks.map(|task| of_task(&task)).fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// All that descend from a process.
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

/// What it runs, by the kernel's short name.
pub(crate) fn name(pid: i32) -> String {
    fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default().trim_end().into()
}
