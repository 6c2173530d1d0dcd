//! How much memory does a process hold, with all that descends from it? The sum of what is
//! resident says it cheaply and counts what is shared once for each; the proportional share says
//! it exactly, at the price of a walk through the page tables.

use std::{
    collections::HashMap,
    fs::{self, File},
    os::unix::fs::FileExt,
};

use nix::unistd::{SysconfVar, sysconf};

use super::census::Census;

/// So many looks in a row may be wrong in the same way.
const DOUBTFUL_MAX: u32 = 30;

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
    /// Those who have lost their parents to us, by their session.
    orphans: HashMap<i32, Vec<i32>>,
    /// Where the memory of workers is read, kept open: that is half the price.
    open: HashMap<i32, File>,
    /// How often in a row the share of a tree was more than it may be, and was doubted.
    doubtful: HashMap<i32, u32>,
    page_bytes: u64,
}

impl Default for Scales {
    fn default() -> Self {
        let page = sysconf(SysconfVar::PAGE_SIZE).ok().flatten();
        let page_bytes = page.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(4096);
        let (census, orphans, open) = (Census::default(), HashMap::new(), HashMap::new());
        let doubtful = HashMap::new();
        Self { census, orphans, open, doubtful, page_bytes }
    }
}

impl Scales {
    /// Sees who was born since the last time.
    pub fn refresh(&mut self) {
        if self.census.renew() {
            self.orphans.clear();
            let children = self.census.children(std::process::id().cast_signed());
            for orphan in children.filter(|child| child.session != child.pid) {
                self.orphans.entry(orphan.session).or_default().push(orphan.pid);
            }
        }
    }

    /// Weighs the descendants of a process, and what of its session has lost its parents to us;
    /// with or without itself. `None` where nothing can be read any more.
    #[must_use]
    pub fn weigh(&mut self, root: i32, with_root: bool, limit: u64) -> Option<Found> {
        let mut members: Vec<i32> = Vec::new();
        for top in [root].iter().chain(self.orphans.get(&root).into_iter().flatten()) {
            if *top != root {
                members.push(*top);
            }
            members.extend(self.census.descendants(*top).iter().map(|process| process.pid));
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
        let is_light = resident_bytes <= limit;
        if is_light {
            self.doubtful.remove(&root);
        }
        let proportional_bytes = (!is_light).then(|| self.proportional(root, resident, limit));
        Some(Found { resident_bytes, proportional_bytes })
    }

    /// What these hold together, what they share counted once.
    ///
    /// They are read one after the other, while others begin to share or end, which shifts what is
    /// shared from those read earlier to those read later, or the other way round: the sum may say
    /// too much. What is too much is believed where it is so without what is shared but the
    /// largest part that anyone has, and nobody has ended meanwhile: who is about to end loses its
    /// memory before the shares of others change. Else it is believed when it stays so.
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
        let looks = self.doubtful.entry(root).or_default();
        *looks += 1;
        if is_whole && sum.least() > limit || *looks > DOUBTFUL_MAX {
            self.doubtful.remove(&root);
            return sum.total();
        }
        limit
    }

    /// The proportional share of a process and its descendants, in bytes; 0 where nothing can be read.
    #[must_use]
    pub fn share(&self, root: i32) -> u64 {
        let below = self.census.descendants(root).into_iter().map(|process| process.pid);
        [root].into_iter().chain(below).filter_map(|pid| Rollup::read(pid)?.bytes("Pss:")).sum()
    }

    /// What was opened for a process is never another's: once that has ended, nothing is read.
    fn resident_of_worker(&mut self, pid: i32) -> Option<u64> {
        if let Some(bytes) = self.open.get(&pid).and_then(|statm| self.resident(statm)) {
            return Some(bytes);
        }
        let statm = statm(pid)?;
        let bytes = self.resident(&statm)?;
        self.open.insert(pid, statm);
        Some(bytes)
    }

    /// It has ended.
    pub fn forget(&mut self, pid: i32) {
        self.open.remove(&pid);
        self.doubtful.remove(&pid);
    }

    /// proc_pid_statm(5): the second number is the resident pages.
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

/// Bytes without what is backed by files, code among them: the kernel drops that when it needs the
/// room.
#[derive(Clone, Copy, Default)]
struct Shares {
    /// The shares of what is a process's own, or was its parent's.
    own: u64,
    /// The shares of what is mapped to be shared.
    shared: u64,
    /// The most of that that one of them has, whoever else has it.
    largest: u64,
}

impl Shares {
    /// Where the shares are not ours to read, what is resident stands for them.
    fn of(pid: i32, resident: u64) -> Self {
        let rest = Self { own: resident, ..Self::default() };
        let Some(rollup) = Rollup::read(pid) else { return rest };
        // Before Linux 5.4 there is but the sum.
        let parts = rollup.bytes("Pss_Anon:").zip(rollup.bytes("Pss_Shmem:"));
        match (parts, rollup.bytes("Pss:")) {
            (Some((own, shared)), _) => Self { own, shared, largest: shmem(pid).unwrap_or(shared) },
            (None, Some(own)) => Self { own, ..Self::default() },
            (None, None) => rest,
        }
    }

    fn add(&mut self, other: Self) {
        self.own += other.own;
        self.shared += other.shared;
        self.largest = self.largest.max(other.largest);
    }

    fn total(self) -> u64 {
        self.own + self.shared
    }

    /// It is surely no less.
    fn least(self) -> u64 {
        self.own + self.largest
    }
}

/// proc_pid_status(5): what is resident of what is mapped to be shared.
fn shmem(pid: i32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("RssShmem:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// `/proc/PID/smaps_rollup`.
struct Rollup(String);

impl Rollup {
    fn read(pid: i32) -> Option<Self> {
        fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok().map(Self)
    }

    fn bytes(&self, name: &str) -> Option<u64> {
        let line = self.0.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kib| kib * 1024)
    }
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
