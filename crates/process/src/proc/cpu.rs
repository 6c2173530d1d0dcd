//! The CPU time of the calling thread. Unlike wall-clock time it measures what something costs,
//! however busy other processes keep the machine.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// CPU time that the calling thread has used since it began; zero where the kernel does not say.
#[must_use]
pub fn thread_cpu_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
