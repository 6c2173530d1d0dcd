//! Samples how much memory a process holds together with its descendants.
//!
//! The sum of resident memory (RSS) is cheap but counts shared memory once per process. The
//! proportional share (PSS) is exact, but the kernel has to walk the page tables for it. So the
//! share is read only where the sum is above the limit.

use std::{collections::HashMap, fs::File, os::unix::fs::FileExt};

use nix::unistd::{SysconfVar, sysconf};

use super::shares::Shares;
use crate::{proc::Fields, tree::ProcessTable};

/// Number of consecutive samples above the limit that may be discarded as inconsistent.
const DOUBTFUL_MAX: u32 = 30;

/// The memory that a process and its descendants hold.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct TreeMemory {
    /// The sum of resident memory, in bytes.
    pub resident_bytes: u64,
    /// The sum of the proportional shares, in bytes; read only where the resident sum is above the
    /// limit.
    pub proportional_bytes: Option<u64>,
}

/// Samples the memory of process trees.
#[derive(Debug)]
pub struct MemorySampler {
    table: ProcessTable,
    /// Children of this process that are orphans of a worker, by their session.
    orphans: HashMap<i32, Vec<i32>>,
    /// The `statm` file of each worker, kept open: opening it is half the cost of a sample.
    open: HashMap<i32, File>,
    /// The number of consecutive samples of a tree that were above the limit and discarded.
    doubtful: HashMap<i32, u32>,
    page_bytes: u64,
}

impl Default for MemorySampler {
    fn default() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page_bytes = page.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096);
        let (table, orphans, open) = (ProcessTable::default(), HashMap::new(), HashMap::new());
        let doubtful = HashMap::new();
        Self { table, orphans, open, doubtful, page_bytes }
    }
}

impl MemorySampler {
    /// Finds processes that started since the last refresh.
    pub fn refresh(&mut self) {
        if self.table.refresh() {
            self.orphans.clear();
            let children = self.table.children(std::process::id().cast_signed());
            for orphan in children.filter(|child| child.session != child.pid) {
                self.orphans.entry(orphan.session).or_default().push(orphan.pid);
            }
        }
    }

    /// Samples the descendants of a process, and orphans of its session that were reparented to
    /// this process; with `with_root` the process itself too. `None` once nothing can be read.
    #[must_use]
    pub fn sample(&mut self, root: i32, with_root: bool, limit: u64) -> Option<TreeMemory> {
        let mut members: Vec<i32> = Vec::new();
        for top in [root].iter().chain(self.orphans.get(&root).into_iter().flatten()) {
            if *top != root {
                members.push(*top);
            }
            members.extend(self.table.descendants(*top).iter().map(|process| process.pid));
        }
        let mut resident: Vec<(i32, u64)> = Vec::with_capacity(members.len() + 1);
        if with_root && let Some(bytes) = self.resident_of_worker(root) {
            resident.push((root, bytes));
        }
        let others = members.iter().filter_map(|pid| Some((*pid, self.resident(&statm(*pid)?)?)));
        resident.extend(others);
        if resident.is_empty() {
            return None;
        }
        let resident_bytes = resident.iter().map(|(_, bytes)| bytes).sum();
        if resident_bytes <= limit {
            self.doubtful.remove(&root);
            return Some(TreeMemory { resident_bytes, proportional_bytes: None });
        }
        let proportional_bytes = Some(self.proportional(root, resident, limit));
        Some(TreeMemory { resident_bytes, proportional_bytes })
    }

    /// The sum of the proportional shares of these processes, or `limit` where a larger sum is not
    /// trusted yet.
    ///
    /// The shares are read one process after the other. A process that maps shared memory or ends
    /// meanwhile shifts shares between processes that were read before and after, so the sum may
    /// be too high. A sum above the limit is trusted if the lower bound is above the limit too and
    /// no process has ended meanwhile (an ending process loses its memory before the shares of
    /// others change). Otherwise it is trusted once it has stayed above the limit for
    /// [`DOUBTFUL_MAX`] samples.
    fn proportional(&mut self, root: i32, mut resident: Vec<(i32, u64)>, limit: u64) -> u64 {
        let mut sum = Shares::default();
        resident.iter().for_each(|(pid, bytes)| sum.add(Shares::of(*pid, *bytes)));
        if sum.total() <= limit {
            self.doubtful.remove(&root);
            return sum.total();
        }
        let before = resident.len();
        resident.retain(|(pid, _)| {
            statm(*pid).and_then(|statm| self.resident(&statm)).is_some_and(|bytes| bytes > 0)
        });
        let is_whole = resident.len() == before;
        let samples = self.doubtful.entry(root).or_default();
        *samples += 1;
        if is_whole && sum.least() > limit || *samples > DOUBTFUL_MAX {
            self.doubtful.remove(&root);
            return sum.total();
        }
        limit
    }

    /// The proportional share of a process and its descendants, in bytes; 0 where nothing can be
    /// read.
    #[must_use]
    pub fn proportional_bytes(&self, root: i32) -> u64 {
        let below = self.table.descendants(root).into_iter().map(|process| process.pid);
        let share = |pid| Fields::smaps_rollup(pid)?.bytes("Pss");
        [root].into_iter().chain(below).filter_map(share).sum()
    }

    /// A file that was opened for one process never describes another: once the process has ended,
    /// reading the file fails.
    fn resident_of_worker(&mut self, pid: i32) -> Option<u64> {
        if let Some(bytes) = self.open.get(&pid).and_then(|statm| self.resident(statm)) {
            return Some(bytes);
        }
        let statm = statm(pid)?;
        let bytes = self.resident(&statm)?;
        self.open.insert(pid, statm);
        Some(bytes)
    }

    /// Drops what is kept for a process that has ended.
    pub fn forget(&mut self, pid: i32) {
        self.open.remove(&pid);
        self.doubtful.remove(&pid);
    }

    /// proc_pid_statm(5): the second number counts resident pages.
    fn resident(&self, statm: &File) -> Option<u64> {
        let mut text = [0; 128];
        let length = statm.read_at(&mut text, 0).ok()?;
        let pages = str::from_utf8(&text[..length]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<u64>().ok()? * self.page_bytes)
    }
}

fn statm(pid: i32) -> Option<File> {
    File::open(format!("/proc/{pid}/statm")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_read_only_above_the_limit() {
        let mut sampler = MemorySampler::default();
        sampler.refresh();
        let own = std::process::id().cast_signed();
        let light = sampler.sample(own, true, u64::MAX).unwrap();
        assert!(light.resident_bytes > 1 << 20 && light.proportional_bytes.is_none());
        let heavy = sampler.sample(own, true, 1).unwrap();
        assert!(heavy.proportional_bytes.is_some_and(|bytes| bytes <= heavy.resident_bytes * 2));
    }
}
