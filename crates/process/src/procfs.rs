//! What does the kernel tell through its files?

use std::{
    cell::Cell,
    fs::{self, File},
    io::Read,
    time::Duration,
};

use nix::unistd::{SysconfVar, sysconf};

/// Tells whether the kernel may have killed a process for want of memory.
///
/// The count is the machine's. Each kill it counts is the answer once, so that of two workers
/// it killed both are told; and a kill from before a worker's life is none of that worker's.
#[derive(Debug, Default)]
pub struct OomWatch {
    answered: Cell<u64>,
}

impl OomWatch {
    /// Whether a kill since the count was `before` has not been the answer yet.
    pub fn may_have_killed(&self, before: u64) -> bool {
        let known = self.answered.get().max(before);
        let is_new = oom_kills() > known;
        if is_new {
            self.answered.set(known + 1);
        }
        is_new
    }
}

/// How many processes this machine has killed for want of memory since it booted; 0 where the
/// kernel does not count them.
#[must_use]
pub fn oom_kills() -> u64 {
    // One read for all: the kernel sums over all processors for each.
    let mut text = [0; 16 << 10];
    let length = File::open("/proc/vmstat").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

/// The CPU time that a process has used itself, without its children; also of one that has
/// ended and is not reaped. In clock ticks, of which there are a hundred a second.
#[must_use]
pub fn own_cpu(pid: i32) -> Option<Duration> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name before it may hold anything but the last parenthesis.
    let (_, fields) = stat.rsplit_once(')')?;
    // proc_pid_stat(5): utime and stime are fields 14 and 15, and the first here is 3.
    let mut times = fields.split_ascii_whitespace().skip(11).map_while(|t| t.parse::<u64>().ok());
    let ticks = times.next()? + times.next()?;
    let per_second = u64::try_from(sysconf(SysconfVar::CLK_TCK).ok()??).ok()?;
    Some(Duration::from_millis(ticks * 1000 / per_second))
}

/// The resident memory of a process, and the most that it has ever been since its exec, in
/// bytes; `None` once it is gone.
#[must_use]
pub fn memory(pid: i32) -> Option<[u64; 2]> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        let kib = line.trim().strip_suffix(" kB")?.parse::<u64>().ok()?;
        Some(kib * 1024)
    };
    Some([field("VmRSS:")?, field("VmHWM:")?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_read() {
        let vmstat = fs::read_to_string("/proc/vmstat").unwrap();
        let line = format!("\noom_kill {}\n", oom_kills());
        assert!(vmstat.contains(&line), "a kernel since 4.13 counts");
    }

    #[test]
    fn a_kill_before_the_life_is_none_of_its() {
        let (watch, now) = (OomWatch::default(), oom_kills());
        assert!(!watch.may_have_killed(now));
        // As if there had been two since: two are told, and no third.
        let watch = OomWatch { answered: Cell::new(now.saturating_sub(2)) };
        let told = (0..3).filter(|_| watch.may_have_killed(0)).count();
        assert_eq!(told as u64, now.min(2));
    }

    #[test]
    fn ones_own_memory_is_read() {
        let [resident, peak] = memory(std::process::id().cast_signed()).unwrap();
        assert!(resident > 0 && peak >= resident);
        assert_eq!(memory(0), None);
    }

    #[test]
    fn ones_own_time_is_read() {
        let began = std::time::Instant::now();
        while own_cpu(std::process::id().cast_signed()).unwrap().is_zero() {
            assert!(began.elapsed() < Duration::from_secs(20));
        }
    }
}
