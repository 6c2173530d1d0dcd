//! The kernel's count of processes that it killed because memory ran out.

use std::{cell::Cell, fs::File, io::Read};

/// Decides whether an out-of-memory kill of the kernel may explain the end of a worker.
///
/// The kernel counts kills of the whole machine. Each counted kill explains one end, so that two
/// killed workers need two kills; kills from before a worker's start explain nothing.
#[derive(Debug, Default)]
pub struct OomWatch {
    /// The count up to which kills have explained an end.
    explained: Cell<u64>,
}

impl OomWatch {
    /// Whether there was a kill after the count was `before` that has not explained another end.
    pub fn may_have_killed(&self, before: u64) -> bool {
        let known = self.explained.get().max(before);
        let is_new = oom_kills() > known;
        if is_new {
            self.explained.set(known + 1);
        }
        is_new
    }
}

/// The number of processes that the kernel has killed since boot because memory ran out; 0 where
/// the kernel does not count them.
#[must_use]
pub fn oom_kills() -> u64 {
    // A single read: for each, the kernel sums over all processors.
    let mut text = [0; 16 << 10];
    let length = File::open("/proc/vmstat").and_then(|mut file| file.read(&mut text)).unwrap_or(0);
    let text = String::from_utf8_lossy(&text[..length]);
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_is_the_kernels() {
        let vmstat = std::fs::read_to_string("/proc/vmstat").unwrap();
        let line = format!("\noom_kill {}\n", oom_kills());
        assert!(vmstat.contains(&line), "kernels since 4.13 count");
    }

    #[test]
    fn each_kill_explains_one_end_and_earlier_kills_none() {
        let (watch, now) = (OomWatch::default(), oom_kills());
        assert!(!watch.may_have_killed(now));
        // As if there had been two kills since: they explain two ends, and no third.
        let watch = OomWatch { explained: Cell::new(now.saturating_sub(2)) };
        let explained = (0..3).filter(|_| watch.may_have_killed(0)).count();
        assert_eq!(explained as u64, now.min(2));
    }
}
