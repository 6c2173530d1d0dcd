//! How much memory does a process hold, with all that descends from it? The sum of what is
//! resident says it cheaply and counts what is shared once for each; the proportional share says
//! it exactly, at the price of a walk through the page tables.

use std::{
    fs::{self, File},
    io::Read,
};

use nix::unistd::{SysconfVar, sysconf};

use super::census::Census;

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Found {
    /// The sum of what is resident, in bytes.
    pub resident_bytes: u64,
    /// The sum of the proportional shares, where the other is above the limit.
    pub proportional_bytes: Option<u64>,
}

/// Weighs trees of processes.
#[derive(Debug)]
pub struct Scales {
    census: Census,
    /// The last number that was given to a process when the census was taken: as long as it is
    /// the same, nobody was born.
    newest: Option<String>,
    page_bytes: u64,
}

impl Default for Scales {
    fn default() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page_bytes = page.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096);
        Self { census: Census::default(), newest: None, page_bytes }
    }
}

impl Scales {
    /// Sees who was born since the last time.
    pub fn refresh(&mut self) {
        let newest = newest();
        if newest.is_none() || newest != self.newest {
            // In this order: who is born meanwhile makes the next time look again.
            self.newest = newest;
            self.census = Census::take();
        }
    }

    /// Weighs the descendants of a process, and what of its session has lost its parents to us;
    /// with or without itself. `None` where nothing can be read any more.
    #[must_use]
    pub fn weigh(&self, root: i32, with_root: bool, limit: u64) -> Option<Found> {
        let own = std::process::id().cast_signed();
        let orphans = self.census.children(own).iter();
        let orphans = orphans.filter(|orphan| orphan.session == root && orphan.pid != root);
        let below = self.census.descendants(root).into_iter().map(|process| process.pid);
        let mut members: Vec<i32> = with_root.then_some(root).into_iter().chain(below).collect();
        for orphan in orphans {
            members.push(orphan.pid);
            members.extend(self.census.descendants(orphan.pid).iter().map(|process| process.pid));
        }
        let mut resident: Vec<_> =
            members.iter().filter_map(|pid| Some((*pid, self.resident(*pid)?))).collect();
        if resident.is_empty() {
            return None;
        }
        let resident_bytes = resident.iter().map(|(_, bytes)| bytes).sum();
        let mut found = Found { resident_bytes, proportional_bytes: None };
        if resident_bytes > limit {
            // Where the share is not ours to read, what is resident stands for it.
            for (pid, bytes) in &mut resident {
                *bytes = proportional(*pid).unwrap_or(*bytes);
            }
            found.proportional_bytes = Some(resident.iter().map(|(_, bytes)| bytes).sum());
        }
        Some(found)
    }

    /// proc_pid_statm(5): the second number is the resident pages.
    fn resident(&self, pid: i32) -> Option<u64> {
        let mut text = [0; 128];
        let length = File::open(format!("/proc/{pid}/statm")).ok()?.read(&mut text).ok()?;
        let pages = str::from_utf8(&text[..length]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<u64>().ok()? * self.page_bytes)
    }
}

/// Without what is backed by files, its code among them: the kernel drops that when it needs the
/// room.
fn proportional(pid: i32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kib = |name| -> Option<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    // Before Linux 5.4 there is but the sum.
    let parts = kib("Pss_Anon:").zip(kib("Pss_Shmem:")).map(|(own, shared)| own + shared);
    Some(parts.or_else(|| kib("Pss:"))? * 1024)
}

/// proc_loadavg(5): the last field is the number of the process created last.
fn newest() -> Option<String> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(4).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_weighs_oneself() {
        let mut scales = Scales::default();
        scales.refresh();
        let own = std::process::id().cast_signed();
        let light = scales.weigh(own, true, u64::MAX).unwrap();
        assert!(light.resident_bytes > 1 << 20 && light.proportional_bytes.is_none());
        let heavy = scales.weigh(own, true, 1).unwrap();
        assert!(heavy.proportional_bytes.is_some_and(|bytes| bytes <= heavy.resident_bytes * 2));
    }
}
