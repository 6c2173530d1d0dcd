//! What does the kernel tell through its files?

use std::{cell::Cell, fs};

/// Tells whether the kernel has killed processes for want of memory since it was last asked.
///
/// Asked only after a SIGKILL: the file costs the kernel a tenth of a millisecond to write.
#[derive(Debug)]
pub struct OomWatch(Cell<u64>);

impl OomWatch {
    /// From now on.
    #[must_use]
    pub fn new() -> Self {
        Self(Cell::new(oom_kills()))
    }

    /// Whether the count has grown.
    pub fn has_killed(&self) -> bool {
        let now = oom_kills();
        self.0.replace(now) < now
    }
}

impl Default for OomWatch {
    fn default() -> Self {
        Self::new()
    }
}

/// How many processes this machine has killed for want of memory since it booted; 0 where the
/// kernel does not count them.
fn oom_kills() -> u64 {
    let text = fs::read_to_string("/proc/vmstat").unwrap_or_default();
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_count_is_read() {
        let vmstat = std::fs::read_to_string("/proc/vmstat").unwrap();
        assert!(vmstat.contains("\noom_kill "), "a kernel since 4.13 counts");
        assert!(super::oom_kills() < u64::MAX);
    }
}
