//! Facts that the kernel reports below `/proc`, each parsed in one place.

mod cpu;
mod environment;
mod fields;
mod oom;
pub(crate) mod read;
mod stat;

use std::fs;

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

/// The numbers of all processes, in no particular order.
pub fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The children of the calling thread, those that have ended included; `None` where the kernel does
/// not list them. The list is exact if no other thread reaps them: until it is reaped, a child stays
/// in the kernel's list, and a process that loses its parent is there before the end of that parent
/// shows.
#[must_use]
pub fn children() -> Option<Vec<i32>> {
    let list = fs::read_to_string("/proc/thread-self/children").ok()?;
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
