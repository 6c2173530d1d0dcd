//! Samples how much memory a process holds together with its descendants.
//!
//! The sum of resident memory (RSS) is cheap but counts shared memory once per process. The
//! proportional share (PSS) is exact, but the kernel has to walk the page tables for it. So the
//! shares are read only where the cheap sum is above the limit. Memory in swap counts in both, and so do
//! files in memory that have no name, which are looked for in every fourth sample.
//!
//! The shares are read one process after the other, while the processes go on. What that can do to
//! the sum decides how far it is trusted:
//!
//! - A process that ends gives its part of shared pages to the others, which may be read before or
//!   after that. The processes that are still there after the last read have each counted at most
//!   their part, so their sum is a lower bound.
//! - A process that maps shared memory takes part of it from others that were read before. The sum
//!   of private memory and of the largest amount that one process has mapped is a lower bound.
//! - A process between a vfork and its exec uses the memory of its parent, and the kernel shows that
//!   memory for both. It counts once.
//! - A process that is born takes part of its parent's memory and is not among those that are read.
//!   Then the sum may be too small, and the shares are read again; if that goes on, it is doubtful.
//!
//! A sum above the limit whose lower bound is not above the limit is doubtful too. The pool decides how
//! often it accepts that in a row, so a tree that is never at rest delays the verdict and does not
//! prevent it.

use std::{
    collections::HashMap,
    fs::{self, File},
    mem,
    os::unix::fs::FileExt,
};

use nix::unistd::{SysconfVar, sysconf};
use pool::MemorySample;

use super::{
    files::MemoryFiles,
    same::have_same_memory,
    shares::Shares,
    swap::{is_swap_used, swapped_bytes},
};
use crate::{
    proc::{self, Fields},
    tree::ProcessTable,
};

/// How often the shares of a tree are read in one sample, if processes are born meanwhile.
const READS_MAX: u32 = 3;
/// A sample in this many looks for files in memory.
const SAMPLES_PER_SEARCH: u32 = 4;
/// How many threads are searched for one that holds memory, where the first thread has ended.
const THREADS_MAX: usize = 16;

/// Samples the memory of process trees.
#[derive(Debug)]
pub struct MemorySampler {
    table: ProcessTable,
    /// Children of this process that are orphans of a worker, by their session.
    orphans: HashMap<i32, Vec<i32>>,
    /// The `statm` file of each worker, kept open: opening it is half the cost of a sample.
    open: HashMap<i32, File>,
    files: MemoryFiles,
    /// The files in memory that each worker and its descendants held at the last search.
    held_files: HashMap<i32, HeldFiles>,
    /// Whether any memory of this machine is in swap.
    is_swap_used: bool,
    page_bytes: u64,
}

/// Files in memory, and when they are searched for again.
#[derive(Default, Debug)]
struct HeldFiles {
    bytes: u64,
    samples_left: u32,
}

/// A process that holds memory.
#[derive(Clone, Copy, Debug)]
struct Holder {
    pid: i32,
    /// The thread that shows the memory of the process: the first one, unless it has ended.
    thread: i32,
    /// Resident and swapped memory, in bytes.
    bytes: u64,
}

impl Default for MemorySampler {
    fn default() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page_bytes = page.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096);
        Self {
            table: ProcessTable::default(),
            orphans: HashMap::new(),
            open: HashMap::new(),
            files: MemoryFiles::new(),
            held_files: HashMap::new(),
            is_swap_used: is_swap_used(),
            page_bytes,
        }
    }
}

impl MemorySampler {
    /// Finds processes that started since the last refresh.
    pub fn refresh(&mut self) {
        self.is_swap_used = is_swap_used();
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
    pub fn sample(&mut self, root: i32, with_root: bool, limit: u64) -> Option<MemorySample> {
        let mut holders = self.holders(root, with_root);
        if holders.is_empty() {
            return None;
        }
        let resident_bytes: u64 = holders.iter().map(|holder| holder.bytes).sum();
        let files_bytes = self.files_bytes(root, with_root, &holders);
        if resident_bytes + files_bytes <= limit {
            return Some(MemorySample::Held(resident_bytes + files_bytes));
        }
        let mut reads = 0;
        loop {
            let sample = self.exactly(&holders, files_bytes, limit);
            if sample.bytes() > limit {
                return Some(sample);
            }
            self.refresh();
            let before = mem::replace(&mut holders, self.holders(root, with_root));
            let is_known = |holder: &Holder| before.iter().any(|known| known.pid == holder.pid);
            if holders.iter().all(is_known) {
                return Some(sample);
            }
            reads += 1;
            if reads == READS_MAX {
                return Some(MemorySample::Doubtful(sample.bytes()));
            }
        }
    }

    /// The bytes in files in memory, as of the last search.
    fn files_bytes(&mut self, root: i32, with_root: bool, holders: &[Holder]) -> u64 {
        let held = self.held_files.entry(root).or_default();
        if held.samples_left == 0 {
            // A launcher holds the input of its command.
            let other = (!with_root).then_some(root);
            let bytes = self.files.bytes(holders.iter().map(|holder| holder.pid), other);
            *held = HeldFiles { bytes, samples_left: SAMPLES_PER_SEARCH };
        }
        held.samples_left -= 1;
        held.bytes
    }

    /// The sum of the proportional shares of these processes, and whether a sum above the limit can
    /// be trusted.
    fn exactly(&self, holders: &[Holder], files_bytes: u64, limit: u64) -> MemorySample {
        let holders = self.distinct(holders);
        let shares = holders.iter().map(|holder| Shares::of(holder.thread, holder.bytes));
        let shares: Vec<Shares> = shares.collect();
        let total = Shares::sum(shares.iter().copied(), files_bytes).total();
        if total <= limit {
            return MemorySample::Held(total);
        }
        let read = holders.into_iter().zip(shares);
        let left = read.filter(|(holder, _)| self.holder(holder.pid).is_some());
        let left = Shares::sum(left.map(|(_, shares)| shares), files_bytes);
        if left.least() > limit {
            MemorySample::Held(left.total())
        } else {
            MemorySample::Doubtful(total)
        }
    }

    /// Leaves out the processes that use the memory of their parents, which are among the others.
    fn distinct<'a>(&self, holders: &'a [Holder]) -> Vec<&'a Holder> {
        let uses_memory_of_parent = |holder: &Holder| {
            let forked = self.table.get(holder.pid).filter(|process| process.is_fork());
            forked.is_some_and(|forked| {
                holders.iter().any(|parent| parent.pid == forked.parent)
                    && have_same_memory(holder.pid, forked.parent)
            })
        };
        holders.iter().filter(|holder| !uses_memory_of_parent(holder)).collect()
    }

    /// The processes of a tree that hold memory. Those that have ended hold none, reaped or not.
    fn holders(&mut self, root: i32, with_root: bool) -> Vec<Holder> {
        let mut members: Vec<i32> = Vec::new();
        for top in [root].iter().chain(self.orphans.get(&root).into_iter().flatten()) {
            if *top != root {
                members.push(*top);
            }
            members.extend(self.table.descendants(*top).iter().map(|process| process.pid));
        }
        let itself = with_root.then(|| self.worker(root)).flatten();
        let others = members.into_iter().filter_map(|pid| self.holder(pid));
        itself.into_iter().chain(others).collect()
    }

    /// A file that was opened for one process never describes another: once the process has ended,
    /// reading the file fails.
    fn worker(&mut self, pid: i32) -> Option<Holder> {
        let known = self.open.get(&pid).and_then(|statm| self.resident_bytes(statm));
        let resident_bytes = match known {
            Some(bytes) => bytes,
            None => {
                let statm = statm(pid)?;
                let bytes = self.resident_bytes(&statm)?;
                self.open.insert(pid, statm);
                bytes
            }
        };
        self.holder_with(pid, resident_bytes)
    }

    fn holder(&self, pid: i32) -> Option<Holder> {
        self.holder_with(pid, self.resident_bytes(&statm(pid)?)?)
    }

    /// A process whose first thread shows this much resident memory. A first thread that has ended
    /// shows none, whatever the others hold.
    fn holder_with(&self, pid: i32, resident_bytes: u64) -> Option<Holder> {
        let (thread, resident_bytes) = match resident_bytes {
            0 => self.other_thread(pid)?,
            bytes => (pid, bytes),
        };
        let swapped_bytes = if self.is_swap_used { swapped_bytes(thread) } else { 0 };
        Some(Holder { pid, thread, bytes: resident_bytes + swapped_bytes })
    }

    /// A thread that shows the memory of its process, and the resident bytes.
    fn other_thread(&self, pid: i32) -> Option<(i32, u64)> {
        let threads = fs::read_dir(proc::path(pid, "task")?).into_iter().flatten().flatten();
        let threads = threads.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        let resident = |thread| Some((thread, self.resident_bytes(&statm(thread)?)?));
        let mut found = threads.filter(|thread| *thread != pid).take(THREADS_MAX);
        found.find_map(|thread| resident(thread).filter(|(_, bytes)| *bytes > 0))
    }

    /// The proportional share of a process and its descendants, in bytes; the resident memory of those
    /// whose share may not be read, and 0 where nothing can be read.
    #[must_use]
    pub fn proportional_bytes(&self, root: i32) -> u64 {
        let below = self.table.descendants(root).into_iter().map(|process| process.pid);
        let share = |pid| {
            let share = Fields::smaps_rollup(pid).and_then(|rollup| rollup.bytes("Pss"));
            share.or_else(|| Fields::status(pid)?.bytes("VmRSS"))
        };
        [root].into_iter().chain(below).filter_map(share).sum()
    }

    /// Drops what is kept for a process that has ended.
    pub fn forget(&mut self, pid: i32) {
        self.open.remove(&pid);
        self.held_files.remove(&pid);
    }

    /// proc_pid_statm(5): the second number counts resident pages.
    fn resident_bytes(&self, statm: &File) -> Option<u64> {
        let mut text = [0; 128];
        let length = statm.read_at(&mut text, 0).ok()?;
        let pages = str::from_utf8(&text[..length]).ok()?.split(' ').nth(1)?;
        Some(pages.parse::<u64>().ok()? * self.page_bytes)
    }
}

fn statm(thread: i32) -> Option<File> {
    File::open(proc::path(thread, "statm")?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_read_only_above_the_limit() {
        let mut sampler = MemorySampler::default();
        sampler.refresh();
        let own = std::process::id().cast_signed();
        let light = sampler.sample(own, true, u64::MAX).unwrap().bytes();
        assert!(light > 1 << 20);
        let heavy = sampler.sample(own, true, 1).unwrap().bytes();
        assert!(heavy > 1 && heavy != light, "code is resident and does not count as a share");
    }
}
