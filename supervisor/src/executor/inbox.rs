//! Where does the news of all workers wait for the loop? In one queue. Putting something in never
//! waits, so nothing is lost when whoever brings it is interrupted; a worker's [`Share`] of the
//! queue bounds it: who has that much news waiting reads no more from his worker.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
};

use tokio::sync::Notify;

use crate::pool::Input;

/// So many inputs of one worker wait at most, and the one of its end.
const SHARE_MAX: u32 = 4;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: RefCell<VecDeque<Input>>,
    filled: Notify,
}

impl Inbox {
    pub(super) fn put(&self, input: Input) {
        self.waiting.borrow_mut().push_back(input);
        self.filled.notify_one();
    }

    pub(super) fn take(&self) -> Option<Input> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Waits until there is something to take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

/// How much of one worker's news waits.
#[derive(Debug, Default)]
pub(super) struct Share {
    waiting: Cell<u32>,
    taken: Notify,
}

impl Share {
    pub(super) fn add(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// The loop has dealt with one.
    pub(super) fn remove(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.taken.notify_waiters();
    }

    /// Waits until there is room for more.
    pub(super) async fn room(&self) {
        self.until(SHARE_MAX).await;
    }

    /// Waits until the loop has dealt with all of it.
    pub(super) async fn dealt_with(&self) {
        self.until(1).await;
    }

    async fn until(&self, below: u32) {
        while self.waiting.get() >= below {
            self.taken.notified().await;
        }
    }
}
