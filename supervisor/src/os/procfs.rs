//! What does the kernel tell through its files?

use std::fs;

/// How many processes this machine has killed for want of memory since it booted; 0 where the
/// kernel does not count them.
#[must_use]
pub fn oom_kills() -> u64 {
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
