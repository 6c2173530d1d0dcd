//! Which processes are there, and who descends from whom? The kernel's list of all, read in one go:
//! it is no snapshot, so whoever acts on it looks again.

use std::{
    collections::{HashMap, HashSet},
    fmt::Write,
    fs::{self, File},
    io::Read,
    mem,
};

use nix::{
    dir::{Dir, Entry},
    fcntl::{OFlag, openat},
    sys::stat::Mode,
};

/// A process in the list of all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Its number, for as long as it is not reaped.
    pub pid: i32,
    /// What it runs, by the kernel's short name.
    pub name: String,
    /// What it does: `R` runs, `S` sleeps, `D` waits for a disk, `T` is stopped, `Z` has ended.
    pub state: char,
    /// Whether it is on its way out, or a zombie.
    pub is_ending: bool,
    /// Its process group.
    pub group: i32,
    /// Its session.
    pub session: i32,
    parent: i32,
    /// When it began, in clock ticks since boot: with its number, this is nobody else.
    began: u64,
}

impl Process {
    /// The process of this number.
    #[must_use]
    pub fn find(pid: i32) -> Option<Self> {
        Self::read(pid, File::open(format!("/proc/{pid}/stat")).ok()?)
    }

    fn read(pid: i32, mut stat: File) -> Option<Self> {
        let mut text = [0; STAT_BYTES_MAX];
        let length = stat.read(&mut text).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&text[..length]))
    }

    /// proc_pid_stat(5): the state is field 3, the parent 4, the group 5, the session 6, the flags
    /// 9, the start 22.
    fn parse(pid: i32, stat: &str) -> Option<Self> {
        const PF_EXITING: u64 = 0x4;
        // The name before it may hold anything but the last parenthesis.
        let (head, fields) = stat.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut number = || fields.next()?.parse().ok();
        let (parent, group, session) = (number()?, number()?, number()?);
        let flags: u64 = fields.nth(2)?.parse().ok()?;
        let began = fields.nth(12)?.parse().ok()?;
        let is_ending = ['Z', 'X'].contains(&state) || flags & PF_EXITING != 0;
        let name = name.to_owned();
        Some(Self { pid, name, state, is_ending, group, session, parent, began })
    }

    /// Whether both are one, whatever it runs and whoever is its parent by now.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.pid, self.began) == (other.pid, other.began)
    }

    /// Whether that one is its parent.
    #[must_use]
    pub fn is_child_of(&self, parent: i32) -> bool {
        self.parent == parent
    }

    /// Whether this pair, `NAME=value`, was in the environment that it was executed with. (A
    /// process may overwrite that.)
    #[must_use]
    pub fn has_variable(&self, pair: &[u8]) -> bool {
        let environment = fs::read(format!("/proc/{}/environ", self.pid)).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == pair)
    }
}

/// All processes, by their parents.
#[derive(Debug, Default)]
pub struct Census {
    all: HashMap<i32, Process>,
    by_parent: HashMap<i32, Vec<i32>>,
    /// The last number that was given to a process, before the others were read.
    newest: Option<i32>,
}

impl Census {
    /// Asks the kernel.
    #[must_use]
    pub fn take() -> Self {
        let mut census = Self::default();
        census.read(|_| true);
        census
    }

    /// Asks again, of those who may have changed: as long as no number was given away, nobody was
    /// born; and of those that were, only who has one of them can be new, or another. Whether there
    /// was anything to be asked.
    pub fn renew(&mut self) -> bool {
        let newest = newest();
        let (Some(from), Some(to)) = (self.newest, newest) else {
            self.newest = newest;
            self.read(|_| true);
            return true;
        };
        if from == to {
            return false;
        }
        self.newest = newest;
        // They begin again from the start once all have been given away.
        let is_new =
            |pid: i32| if from < to { from < pid && pid <= to } else { pid > from || pid <= to };
        self.read(is_new);
        true
    }

    /// The children of a process, those that have ended and are not reaped included.
    pub fn children(&self, of: i32) -> impl Iterator<Item = &Process> {
        self.by_parent.get(&of).into_iter().flatten().filter_map(|pid| self.all.get(pid))
    }

    /// The children of a process, their children, and so on: parents before their children.
    #[must_use]
    pub fn descendants(&self, of: i32) -> Vec<&Process> {
        let mut found: Vec<&Process> = self.children(of).collect();
        let mut at = 0;
        while let Some(process) = found.get(at) {
            found.extend(self.children(process.pid));
            at += 1;
        }
        found
    }

    /// Reads those of whom this is true, whom we do not know, and whose parents are gone.
    fn read(&mut self, is_asked: impl Fn(i32) -> bool) {
        let Ok(mut list) = Dir::open("/proc", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())
        else {
            return;
        };
        let number = |entry: Entry| entry.file_name().to_str().ok()?.parse::<i32>().ok();
        let numbers: Vec<i32> = list.iter().flatten().filter_map(number).collect();
        let mut known = mem::take(&mut self.all);
        let living: HashSet<i32> = numbers.iter().copied().collect();
        let mut path = String::new();
        for pid in numbers {
            let kept = known.remove(&pid).filter(|process| {
                !is_asked(pid) && (process.parent == 0 || living.contains(&process.parent))
            });
            let process = kept.or_else(|| {
                // From there it is found in half the time.
                path.clear();
                let _ = write!(path, "{pid}/stat");
                let flags = OFlag::O_RDONLY | OFlag::O_CLOEXEC;
                Process::read(pid, openat(&list, path.as_str(), flags, Mode::empty()).ok()?.into())
            });
            self.all.extend(process.map(|process| (pid, process)));
        }
        self.by_parent.clear();
        for process in self.all.values() {
            self.by_parent.entry(process.parent).or_default().push(process.pid);
        }
    }
}

/// proc_loadavg(5): the last field is the number of the process created last.
fn newest() -> Option<i32> {
    let text = fs::read_to_string("/proc/loadavg").ok()?;
    text.split_ascii_whitespace().nth(4)?.parse().ok()
}

/// The kernel's line on a process is shorter.
const STAT_BYTES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_anything() {
        let stat = "7 (a) Z (b c) d) T 3 5 6 0 -1 4194308 0 0 0 0 0 0 0 0 20 0 1 0 99 0 0 18";
        let process = Process::parse(7, stat).unwrap();
        assert_eq!((process.name.as_str(), process.state), ("a) Z (b c) d", 'T'));
        assert_eq!((process.parent, process.group, process.session), (3, 5, 6));
        assert_eq!((process.began, process.is_ending), (99, true));
        assert_eq!(Process::parse(7, "7 (a) T 3"), None);
    }

    #[test]
    fn one_finds_oneself_among_the_descendants_of_the_first() {
        let own = std::process::id().cast_signed();
        let this = Process::find(own).unwrap();
        let census = Census::take();
        assert!(census.children(this.parent).any(|process| process.is_same(&this)));
        assert!(census.descendants(this.parent).iter().any(|process| process.is_same(&this)));
        assert!(census.descendants(own).iter().all(|process| !process.is_same(&this)));
    }
    #[test]
    fn who_was_born_is_found_and_who_has_gone_is_not() {
        let own = std::process::id().cast_signed();
        let mut census = Census::default();
        assert!(census.renew());
        let mut child = std::process::Command::new("sleep").arg("1000").spawn().unwrap();
        let pid = child.id().cast_signed();
        let has = |census: &Census| census.children(own).any(|process| process.pid == pid);
        assert!(!has(&census));
        assert!(census.renew() && has(&census));
        child.kill().unwrap();
        child.wait().unwrap();
        // Somebody else is born.
        std::process::Command::new("true").status().unwrap();
        assert!(census.renew() && !has(&census));
    }
}
