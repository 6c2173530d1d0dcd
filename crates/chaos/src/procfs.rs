//! Finds processes in `/proc`.

use std::fs;

use process::proc::{Stat, has_variable, pids};

/// Whether `pid` is a child of `of` that has not ended.
pub(crate) fn is_child(pid: i32, of: i32) -> bool {
    Stat::read(pid).is_some_and(|stat| stat.is_child_of(of) && !stat.has_ended())
}

/// The children of a process that have not ended.
pub(crate) fn children(of: i32) -> Vec<i32> {
    pids().filter(|pid| is_child(*pid, of)).collect()
}

/// The live processes that have this variable, `NAME=value`, in their environment.
pub(crate) fn marked(mark: &str) -> Vec<i32> {
    pids().filter(|pid| has_variable(*pid, mark.as_bytes())).collect()
}

/// The command line of a process, for people.
pub(crate) fn command(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().into()
}
