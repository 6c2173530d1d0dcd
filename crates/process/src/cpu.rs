//! How much of a processor's time has this thread had? Unlike a clock on the wall that says what
//! something costs, however busy the machine is with others.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

/// Since it began; nothing where the kernel does not say.
#[must_use]
pub fn of_this_thread() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).map(Duration::from).unwrap_or_default()
}
