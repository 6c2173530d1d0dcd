//! Finds processes in `/proc`.

use std::fs;

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Whether `pid` is a child of `of` that has not ended.
pub(crate) fn is_child(pid: i32, of: i32) -> bool {
    let parent = || {
        let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name in parentheses may contain any character.
        let mut fields = text.rsplit_once(')')?.1.split_whitespace();
        let is_gone = ["Z", "X"].contains(&fields.next()?);
        fields.next()?.parse::<i32>().ok().filter(|_| !is_gone)
    };
    parent() == Some(of)
}

/// The children of a process that have not ended.
pub(crate) fn children(of: i32) -> Vec<i32> {
    pids().filter(|pid| is_child(*pid, of)).collect()
}

/// The live processes that have this variable, `NAME=value`, in their environment.
pub(crate) fn marked(mark: &str) -> Vec<i32> {
    pids().filter(|pid| has_variable(*pid, mark)).collect()
}

fn has_variable(pid: i32, pair: &str) -> bool {
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|entry| entry == pair.as_bytes())
}

/// The command line of a process, for people.
pub(crate) fn command(pid: i32) -> String {
    let words = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&words).replace('\0', " ").trim_end().into()
}
