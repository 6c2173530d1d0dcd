//! Facts that the kernel reports below `/proc`, each parsed in one place.

mod cpu;
mod environment;
mod fields;
mod oom;
pub(crate) mod read;
mod stat;

use std::{fs, path::Path, sync::OnceLock};

pub use self::{
    cpu::thread_cpu_time,
    environment::{Found, VariableSearch},
    fields::Fields,
    oom::{OomWatch, oom_kills},
    stat::Stat,
};

/// The resident memory of a process and its peak since the exec, in bytes; `None` once the process
/// is gone.
#[must_use]
pub fn memory(pid: i32) -> Option<[u64; 2]> {
    let status = Fields::status(pid)?;
    Some([status.bytes("VmRSS")?, status.bytes("VmHWM")?])
}

/// Whether `/proc` shows processes by the numbers that they have for this process. It does not in a
/// PID namespace that has no `/proc` of its own: there each number means another process, so that
/// nothing below `/proc` is read by number.
#[must_use]
pub fn is_own() -> bool {
    static IS_OWN: OnceLock<bool> = OnceLock::new();
    *IS_OWN.get_or_init(|| {
        let own = fs::read_link("/proc/self");
        own.is_ok_and(|own| own == Path::new(&std::process::id().to_string()))
    })
}

/// Whether there is a `/proc`.
#[must_use]
pub fn is_mounted() -> bool {
    fs::read_link("/proc/self").is_ok()
}

/// Whether `/proc` is there but shows the processes of another PID namespace.
#[must_use]
pub fn is_foreign() -> bool {
    !is_own() && is_mounted()
}

/// The path of a file about a process or a thread; `None` where `/proc` shows other processes.
pub(crate) fn path(pid: i32, file: &str) -> Option<String> {
    is_own().then(|| format!("/proc/{pid}/{file}"))
}

/// The numbers of all processes, in no particular order.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = is_own().then(|| fs::read_dir("/proc").into_iter().flatten().flatten());
    let entries = entries.into_iter().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of the calling thread, those that have ended included; `None` where the kernel does
/// not list them. The list is exact if no other thread reaps them: until it is reaped, a child stays
/// in the kernel's list, and a process that loses its parent is there before the end of that parent
/// shows.
#[must_use]
pub fn children() -> Option<Vec<i32>> {
    let list = is_own().then(|| read::text("/proc/thread-self/children"))??;
    list.split_ascii_whitespace().map(|pid| pid.parse().ok()).collect()
}

/// Whether a process was executed with this pair, `NAME=value`, in its environment. False where it
/// shows no environment.
#[must_use]
pub fn has_variable(pid: i32, pair: &[u8]) -> bool {
    VariableSearch::new(pid, pair).finish() == Found::Yes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_reads_its_own_memory() {
        let [resident, peak] = memory(std::process::id().cast_signed()).unwrap();
        assert!(resident > 0 && peak >= resident);
        assert_eq!(memory(0), None);
    }

    #[test]
    fn a_thread_finds_its_children() {
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        assert_eq!(children(), Some(vec![pid]));
        child.kill().unwrap();
        while !crate::wait::has_ended(pid) {}
        assert_eq!(children(), Some(vec![pid]));
        child.wait().unwrap();
        assert_eq!(children(), Some(vec![]));
    }

    #[test]
    fn a_process_finds_itself_and_its_environment() {
        let own = std::process::id().cast_signed();
        assert!(pids().any(|pid| pid == own));
        let (name, value) = std::env::vars().next().unwrap();
        assert!(has_variable(own, format!("{name}={value}").as_bytes()));
        assert!(!has_variable(own, b"SURELY_NOT_SET=1"));
    }
}
