//! Which processes are there, and who descends from whom? The kernel's list of all, read in one go:
//! it is no snapshot, so whoever acts on it looks again.

use std::{
    collections::HashMap,
    fs::{self, File},
    io::Read,
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
        let mut text = [0; STAT_BYTES_MAX];
        let length = File::open(format!("/proc/{pid}/stat")).ok()?.read(&mut text).ok()?;
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
pub struct Census(HashMap<i32, Vec<Process>>);

impl Census {
    /// Asks the kernel.
    #[must_use]
    pub fn take() -> Self {
        let mut by_parent: HashMap<i32, Vec<Process>> = HashMap::new();
        let Ok(entries) = fs::read_dir("/proc") else { return Self::default() };
        let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        for process in numbers.filter_map(Process::find) {
            by_parent.entry(process.parent).or_default().push(process);
        }
        Self(by_parent)
    }

    /// The children of a process, those that have ended and are not reaped included.
    #[must_use]
    pub fn children(&self, of: i32) -> &[Process] {
        self.0.get(&of).map_or(&[], Vec::as_slice)
    }

    /// The children of a process, their children, and so on: parents before their children.
    #[must_use]
    pub fn descendants(&self, of: i32) -> Vec<&Process> {
        let mut found: Vec<&Process> = self.children(of).iter().collect();
        let mut at = 0;
        while let Some(process) = found.get(at) {
            found.extend(self.children(process.pid));
            at += 1;
        }
        found
    }
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
        assert!(census.children(this.parent).iter().any(|process| process.is_same(&this)));
        assert!(census.descendants(this.parent).iter().any(|process| process.is_same(&this)));
        assert!(census.descendants(own).iter().all(|process| !process.is_same(&this)));
    }
}
