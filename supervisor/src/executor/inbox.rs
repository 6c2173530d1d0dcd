//! Where does the news of all workers wait for the loop? In one queue. Putting something in never
//! waits, so nothing is lost when whoever brings it is interrupted; a worker's [`Share`] of the
//! queue bounds it: who has that much news waiting reads no more from his worker.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    task::{Poll, Waker},
};

use pool::Input;

/// So many inputs of one worker wait at most, and the one of its end.
const SHARE_MAX: u32 = 4;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    waiting: RefCell<VecDeque<Input>>,
    reader: Bell,
}

impl Inbox {
    pub(super) fn put(&self, input: Input) {
        self.waiting.borrow_mut().push_back(input);
        self.reader.ring();
    }

    pub(super) fn take(&self) -> Option<Input> {
        self.waiting.borrow_mut().pop_front()
    }

    /// Waits until there is something to take.
    pub(super) async fn filled(&self) {
        self.reader.until(|| !self.waiting.borrow().is_empty()).await;
    }
}

/// How much of one worker's news waits.
#[derive(Debug, Default)]
pub(super) struct Share {
    waiting: Cell<u32>,
    bringer: Bell,
}

impl Share {
    pub(super) fn add(&self) {
        self.waiting.set(self.waiting.get() + 1);
    }

    /// The loop has dealt with one.
    pub(super) fn remove(&self) {
        self.waiting.set(self.waiting.get().saturating_sub(1));
        self.bringer.ring();
    }

    /// Waits until there is room for more.
    pub(super) async fn room(&self) {
        self.bringer.until(|| self.waiting.get() < SHARE_MAX).await;
    }

    /// Waits until the loop has dealt with all of it.
    pub(super) async fn dealt_with(&self) {
        self.bringer.until(|| self.waiting.get() == 0).await;
    }
}

/// Wakes the one who waits, on this thread: what the runtime has for that takes a lock each time,
/// and this is rung for every reply.
#[derive(Debug, Default)]
struct Bell(RefCell<Option<Waker>>);

impl Bell {
    fn ring(&self) {
        let waker = self.0.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn until(&self, holds: impl Fn() -> bool) {
        poll_fn(|cx| {
            if holds() {
                return Poll::Ready(());
            }
            let same = self.0.take().filter(|waker| waker.will_wake(cx.waker()));
            self.0.replace(Some(same.unwrap_or_else(|| cx.waker().clone())));
            Poll::Pending
        })
        .await;
    }
}
