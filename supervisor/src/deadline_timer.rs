//! The timer that wakes the loop at its next deadline.

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all deadlines.
///
/// Most deadlines only ever move into the future. The timer is not reset then, and may fire too
/// early once, which the pool tolerates: resetting it for every job would cost more.
#[derive(Debug, Default)]
pub(crate) struct DeadlineTimer {
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl DeadlineTimer {
    /// Waits until `deadline`, or a little less; without one for ever.
    pub(crate) async fn wait(&mut self, deadline: Option<Instant>) {
        let Some(deadline) = deadline else { return std::future::pending().await };
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if !self.is_set || timer.deadline() > deadline {
            timer.as_mut().reset(deadline);
            self.is_set = true;
        }
        timer.as_mut().await;
        self.is_set = false;
    }
}
