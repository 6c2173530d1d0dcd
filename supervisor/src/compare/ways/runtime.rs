//! Async tasks on a runtime with a thread for each processor: a task that never waits keeps one
//! of them.

use std::io;

use tokio::runtime::Builder;

use super::tasks::join_all;
use crate::compare::{plan::Plan, stopwatch::Stopwatch};

/// Does all jobs.
pub(in crate::compare) fn run(plan: &Plan, watch: &Stopwatch) -> io::Result<()> {
    let runtime = Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(join_all(plan, watch))
}
