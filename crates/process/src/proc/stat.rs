//! `/proc/PID/stat`: one line in which the kernel describes a process.

use std::{fs::File, io::Read, time::Duration};

use nix::unistd::{SysconfVar, sysconf};

/// Upper bound for the length of the line, in bytes.
const STAT_BYTES_MAX: usize = 1024;

/// A process as `/proc/PID/stat` describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stat {
    /// The process id, which is unique until the process is reaped.
    pub pid: i32,
    /// The short name of the program, up to 15 bytes.
    pub name: String,
    /// The scheduler's state: `R` running, `S` sleeping, `D` waiting for a disk, `T` stopped, `Z`
    /// ended and not reaped.
    pub state: char,
    /// The process id of the parent.
    pub parent: i32,
    /// The process group.
    pub group: i32,
    /// The session.
    pub session: i32,
    flags: u64,
    /// The number of threads that have not ended; a process that has ended and is not reaped has one.
    threads: u64,
    /// User and system time of the process alone, in clock ticks.
    cpu_ticks: u64,
    /// Start time in clock ticks since boot; with `pid` it identifies the process.
    start_ticks: u64,
}

impl Stat {
    /// Reads the line of a process; `None` once the process is gone.
    #[must_use]
    pub fn read(pid: i32) -> Option<Self> {
        Self::read_from(pid, File::open(format!("/proc/{pid}/stat")).ok()?)
    }

    pub(crate) fn read_from(pid: i32, mut file: File) -> Option<Self> {
        let mut text = [0; STAT_BYTES_MAX];
        let length = file.read(&mut text).ok()?;
        Self::parse(pid, &String::from_utf8_lossy(&text[..length]))
    }

    /// proc_pid_stat(5): field 3 is the state, 4 the parent, 5 the group, 6 the session, 9 the
    /// flags, 14 and 15 the user and system time, 20 the number of threads, 22 the start time.
    fn parse(pid: i32, text: &str) -> Option<Self> {
        // The name may contain anything, a parenthesis included; the last one ends it.
        let (head, fields) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        let mut fields = fields.split_ascii_whitespace();
        let state = fields.next()?.chars().next()?;
        let mut id = || fields.next()?.parse().ok();
        let (parent, group, session) = (id()?, id()?, id()?);
        let mut skip_to = |skipped| fields.nth(skipped)?.parse::<u64>().ok();
        let flags = skip_to(2)?;
        let cpu_ticks = skip_to(4)?.saturating_add(skip_to(0)?);
        let (threads, start_ticks) = (skip_to(4)?, skip_to(1)?);
        let name = name.to_owned();
        Some(Self {
            pid,
            name,
            state,
            parent,
            group,
            session,
            flags,
            threads,
            cpu_ticks,
            start_ticks,
        })
    }

    /// Whether the process is exiting, or has ended and is not reaped.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        const PF_EXITING: u64 = 0x4;
        self.has_ended() || self.flags & PF_EXITING != 0 && !self.has_first_thread_ended()
    }

    /// Whether the process has ended and is not reaped. A process whose first thread alone has
    /// ended is in the same state, but runs on.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        self.has_first_thread_ended() && self.threads <= 1
    }

    /// Whether the process has executed no program since it was forked. It may still use the memory
    /// of its parent, as between a vfork and the exec.
    #[must_use]
    pub fn is_fork(&self) -> bool {
        const PF_FORKNOEXEC: u64 = 0x40;
        self.flags & PF_FORKNOEXEC != 0
    }

    fn has_first_thread_ended(&self) -> bool {
        ['Z', 'X'].contains(&self.state)
    }

    /// Whether both describe the same process, even if it has executed another program or has a new
    /// parent.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        (self.pid, self.start_ticks) == (other.pid, other.start_ticks)
    }

    /// Whether `parent` is the process id of the parent.
    #[must_use]
    pub fn is_child_of(&self, parent: i32) -> bool {
        self.parent == parent
    }

    /// Whether this pair, `NAME=value`, was in the environment at the exec; false where the process
    /// shows no environment.
    #[must_use]
    pub fn has_variable(&self, pair: &[u8]) -> bool {
        super::has_variable(self.pid, pair)
    }

    /// CPU time that the process itself has used, without its children. The resolution is a clock
    /// tick, 10 ms.
    #[must_use]
    pub fn cpu_time(&self) -> Option<Duration> {
        let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
        Some(Duration::from_millis(self.cpu_ticks * 1000 / per_second))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_contain_anything() {
        let text = "7 (a) Z (b c) d) T 3 5 6 0 -1 4194308 0 0 0 0 40 2 0 0 20 0 1 0 99 0 0 18";
        let stat = Stat::parse(7, text).unwrap();
        assert_eq!((stat.name.as_str(), stat.state), ("a) Z (b c) d", 'T'));
        assert_eq!((stat.parent, stat.group, stat.session), (3, 5, 6));
        assert_eq!((stat.start_ticks, stat.cpu_ticks, stat.is_ending()), (99, 42, true));
        assert_eq!(Stat::parse(7, "7 (a) T 3"), None);
    }

    #[test]
    fn a_process_whose_first_thread_has_ended_runs_on() {
        let stat = |state, threads| {
            let text =
                format!("7 (a) {state} 3 5 6 0 -1 4 0 0 0 0 4 2 0 0 20 0 {threads} 0 99 0 0");
            let stat = Stat::parse(7, &text).unwrap();
            (stat.is_ending(), stat.has_ended())
        };
        assert_eq!(stat('Z', 1), (true, true));
        assert_eq!(stat('Z', 2), (false, false));
        assert_eq!(stat('R', 2), (true, false), "the flags say that it is exiting");
    }

    #[test]
    fn a_process_reads_its_own_cpu_time() {
        let began = std::time::Instant::now();
        let own = std::process::id().cast_signed();
        while Stat::read(own).unwrap().cpu_time().unwrap().is_zero() {
            assert!(began.elapsed() < Duration::from_secs(20));
        }
    }
}
