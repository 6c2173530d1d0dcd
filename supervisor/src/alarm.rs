//! When does the loop wake by itself?

use std::pin::Pin;

use tokio::time::{Instant, Sleep, sleep_until};

/// One timer for all deadlines. One that moves into the future is left to ring too early, since
/// most are only ever moved: the pool does not mind.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    timer: Option<Pin<Box<Sleep>>>,
    is_set: bool,
}

impl Alarm {
    /// Waits until then.
    pub(crate) async fn rings(&mut self, deadline: Option<Instant>) {
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
