//! How much memory does a process hold, with its children and theirs?

use std::fs;

use nix::unistd::{SysconfVar, sysconf};

/// No more processes of one tree are looked at.
const PROCESSES_MAX: usize = 64;

/// What a process and those below it hold, in bytes; pages that they share count for each.
/// `None` where it is gone.
#[must_use]
pub fn of_tree(pid: i32) -> Option<u64> {
    let page = u64::try_from(sysconf(SysconfVar::PAGE_SIZE).ok()??).ok()?;
    let mut pages = resident_pages(pid)?;
    let mut tree = children(pid);
    let mut next = 0;
    while next < tree.len().min(PROCESSES_MAX) {
        let pid = tree[next];
        pages = pages.saturating_add(resident_pages(pid).unwrap_or(0));
        tree.extend(children(pid));
        next += 1;
    }
    Some(pages.saturating_mul(page))
}

fn resident_pages(pid: i32) -> Option<u64> {
    // proc_pid_statm(5): the size, and then what is resident.
    let text = fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
    text.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Those that its first thread spawned; none where the kernel does not tell.
fn children(pid: i32) -> Vec<i32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn a_child_counts_and_a_stranger_that_is_gone_does_not() {
        let own = std::process::id().cast_signed();
        let alone = resident_pages(own).unwrap() * 4096;
        let mut child = Command::new("sleep").arg("60").stdin(Stdio::null()).spawn().unwrap();
        let pid = child.id().cast_signed();
        assert!(of_tree(pid).is_some_and(|bytes| bytes > 0));
        assert!(of_tree(own).unwrap() > alone / 2);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(of_tree(pid), None);
    }
}
