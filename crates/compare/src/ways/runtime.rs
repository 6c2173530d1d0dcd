//! Async tasks on a runtime with one thread per processor. A task that never yields occupies one of
//! the threads.

use std::io;

use tokio::runtime::Builder;

use super::tasks::join_all;
use crate::{plan::Plan, stopwatch::Stopwatch};

/// Runs all jobs.
pub(crate) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(join_all(plan, watch))
}
