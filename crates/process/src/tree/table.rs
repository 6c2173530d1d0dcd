//! The table of all processes, with their parents. The kernel lists them one after the other, so
//! the table is no consistent snapshot: code that acts on an entry has to check it again. A whole
//! reading at least misses no process below a process that it has found: it is repeated for processes
//! that were born meanwhile, and for those whose parents have ended meanwhile.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    mem,
};

use nix::{
    dir::{Dir, Entry},
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

use crate::proc::{Stat, read};

/// How often a whole reading is repeated, at most, while processes are born.
const READS_MAX: u32 = 4;

/// All processes, and which are the children of which.
#[derive(Debug, Default)]
pub struct ProcessTable {
    all: HashMap<i32, Stat>,
    by_parent: HashMap<i32, Vec<i32>>,
    /// The process id that the kernel assigned last, read before the entries were.
    last_pid: Option<i32>,
}

impl ProcessTable {
    /// Reads the entries of all processes.
    #[must_use]
    pub fn read() -> Self {
        let mut table = Self::default();
        for _ in 0..READS_MAX {
            let has_read = table.refresh();
            table.update_orphans();
            if !has_read {
                break;
            }
        }
        table
    }

    /// Reads the entries that may have changed: processes whose ids were assigned since the last
    /// refresh, and processes that have lost their parent. Returns whether there was anything to
    /// read; without a new process id there is no new process.
    pub fn refresh(&mut self) -> bool {
        let last = last_pid();
        let (Some(from), Some(to)) = (self.last_pid, last) else {
            self.last_pid = last;
            self.update(|_| true);
            return true;
        };
        if from == to {
            return false;
        }
        self.last_pid = last;
        // Ids start again from the lowest once the highest was assigned.
        let is_new =
            |pid: i32| if from < to { from < pid && pid <= to } else { pid > from || pid <= to };
        self.update(is_new);
        true
    }

    /// The process with this number.
    #[must_use]
    pub fn get(&self, pid: i32) -> Option<&Stat> {
        self.all.get(&pid)
    }

    /// The children of a process, including those that have ended and are not reaped.
    pub fn children(&self, of: i32) -> impl Iterator<Item = &Stat> {
        self.by_parent.get(&of).into_iter().flatten().filter_map(|pid| self.all.get(pid))
    }

    /// The children of a process, their children, and so on; parents come before their children.
    #[must_use]
    pub fn descendants(&self, of: i32) -> Vec<&Stat> {
        let mut found: Vec<&Stat> = self.children(of).collect();
        let mut at = 0;
        while let Some(process) = found.get(at) {
            found.extend(self.children(process.pid));
            at += 1;
        }
        found
    }

    /// Reads the entries for which `is_new` holds, those that are missing, and those whose parents
    /// are gone; keeps the others.
    fn update(&mut self, is_new: impl Fn(i32) -> bool) {
        let Ok(mut list) = Dir::open("/proc", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        else {
            return;
        };
        let number = |entry: Entry| entry.file_name().to_str().ok()?.parse::<i32>().ok();
        let pids: Vec<i32> = list.iter().flatten().filter_map(number).collect();
        let mut known = mem::take(&mut self.all);
        let living: HashSet<i32> = pids.iter().copied().collect();
        let mut path = String::new();
        for pid in pids {
            let kept = known.remove(&pid).filter(|process| {
                !is_new(pid) && (process.parent == 0 || living.contains(&process.parent))
            });
            let process = kept.or_else(|| {
                // A path relative to /proc is resolved in half the time of an absolute one.
                path.clear();
                let _ = write!(path, "{pid}/stat");
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                let stat = openat(&list, path.as_str(), flags, Mode::empty()).ok()?;
                Stat::read_from(pid, stat.into())
            });
            self.all.extend(process.map(|process| (pid, process)));
        }
        self.index();
    }

    /// Reads the entries of processes whose parents have ended, and which thus have others by now.
    fn update_orphans(&mut self) {
        let has_ended = |parent| self.all.get(&parent).is_none_or(Stat::has_ended);
        let orphans = self.all.values().filter(|it| it.parent != 0 && has_ended(it.parent));
        let orphans: Vec<i32> = orphans.map(|process| process.pid).collect();
        if orphans.is_empty() {
            return;
        }
        for pid in orphans {
            match Stat::read(pid) {
                Some(process) => self.all.insert(pid, process),
                None => self.all.remove(&pid),
            };
        }
        self.index();
    }

    fn index(&mut self) {
        self.by_parent.clear();
        for process in self.all.values() {
            self.by_parent.entry(process.parent).or_default().push(process.pid);
        }
    }
}

/// proc_loadavg(5): the last field is the process id that the kernel assigned last.
fn last_pid() -> Option<i32> {
    let text = read::text("/proc/loadavg")?;
    text.split_ascii_whitespace().nth(4)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_among_the_descendants_of_its_parent() {
        let own = std::process::id().cast_signed();
        let this = Stat::read(own).unwrap();
        let table = ProcessTable::read();
        assert!(table.children(this.parent).any(|process| process.is_same(&this)));
        assert!(table.descendants(this.parent).iter().any(|process| process.is_same(&this)));
        assert!(table.descendants(own).iter().all(|process| !process.is_same(&this)));
    }

    #[test]
    fn a_refresh_finds_new_processes_and_drops_ended_ones() {
        let own = std::process::id().cast_signed();
        let mut table = ProcessTable::default();
        assert!(table.refresh());
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let has = |table: &ProcessTable| table.children(own).any(|process| process.pid == pid);
        assert!(!has(&table));
        assert!(table.refresh() && has(&table));
        child.kill().unwrap();
        child.wait().unwrap();
        // Only a new process makes the next refresh read anything.
        std::process::Command::new("true").status().unwrap();
        assert!(table.refresh() && !has(&table));
    }
}
