//! Queues the inputs that the worker tasks send to the run loop.
//!
//! All workers share one queue. A push never waits, so a task that is cancelled loses no input.
//! The queue stays bounded because each worker has a limited credit: a task whose worker has no
//! credit left reads nothing more from that worker until the run loop has handled some inputs.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    rc::Rc,
    task::{Poll, Waker},
};

use pool::{Input, News, event::WorkerId};

/// Inputs of one worker that may wait in the queue before its tasks stop reading from it.
const CREDIT: u32 = 4;

/// The inputs that the run loop has not taken yet, oldest first.
#[derive(Debug, Default)]
pub(super) struct EventQueue {
    inputs: RefCell<VecDeque<Input>>,
    pushed: Notify,
}

impl EventQueue {
    pub(super) fn push(&self, input: Input) {
        self.inputs.borrow_mut().push_back(input);
        self.pushed.notify();
    }

    pub(super) fn pop(&self) -> Option<Input> {
        self.inputs.borrow_mut().pop_front()
    }

    /// Waits until the queue holds an input.
    pub(super) async fn wait_for_input(&self) {
        self.pushed.wait_until(|| !self.inputs.borrow().is_empty()).await;
    }
}

/// Sends the news of one worker to the queue and keeps account of its credit.
#[derive(Debug)]
pub(super) struct NewsSender {
    worker: WorkerId,
    queue: Rc<EventQueue>,
    /// News that the run loop has not handled yet.
    unhandled: Cell<u32>,
    handled: Notify,
}

impl NewsSender {
    pub(super) fn new(worker: WorkerId, queue: Rc<EventQueue>) -> Self {
        Self { worker, queue, unhandled: Cell::new(0), handled: Notify::default() }
    }

    /// Sends one piece of news. Never waits: callers that produce much call
    /// [`credit`](Self::credit) before they read more.
    pub(super) fn send(&self, news: News) {
        self.unhandled.set(self.unhandled.get() + 1);
        self.queue.push(Input::Worker { worker: self.worker, news });
    }

    /// Gives one credit back, after the run loop has handled one piece of news.
    pub(super) fn give_back(&self) {
        self.unhandled.set(self.unhandled.get().saturating_sub(1));
        self.handled.notify();
    }

    /// Waits until the worker has credit left.
    pub(super) async fn credit(&self) {
        self.handled.wait_until(|| self.unhandled.get() < CREDIT).await;
    }

    /// Waits until the run loop has handled all news of the worker.
    pub(super) async fn all_handled(&self) {
        self.handled.wait_until(|| self.unhandled.get() == 0).await;
    }
}

/// Wakes the one task that waits for a condition. Tokio's `Notify` takes a lock for each call,
/// and this is called for every read of every worker; everything here runs on one thread.
#[derive(Debug, Default)]
struct Notify(RefCell<Option<Waker>>);

impl Notify {
    fn notify(&self) {
        let waker = self.0.take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    async fn wait_until(&self, condition: impl Fn() -> bool) {
        poll_fn(|cx| {
            if condition() {
                return Poll::Ready(());
            }
            let same = self.0.take().filter(|waker| waker.will_wake(cx.waker()));
            self.0.replace(Some(same.unwrap_or_else(|| cx.waker().clone())));
            Poll::Pending
        })
        .await;
    }
}

#[cfg(test)]
mod tests {
    use std::task::Context;

    use pool::exit::Pipe;

    use super::*;

    fn is_ready(future: impl Future<Output = ()>) -> bool {
        let mut future = std::pin::pin!(future);
        future.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[test]
    fn a_worker_without_credit_waits_until_its_news_are_handled() {
        let queue = Rc::new(EventQueue::default());
        let [flooding, other] =
            [1, 2].map(|slot| NewsSender::new(WorkerId { slot, generation: 1 }, Rc::clone(&queue)));
        assert!(is_ready(flooding.credit()) && is_ready(flooding.all_handled()));
        assert!(!is_ready(queue.wait_for_input()));
        for _ in 0..CREDIT {
            assert!(is_ready(flooding.credit()));
            flooding.send(News::Closed(Pipe::Jobs));
        }
        assert!(is_ready(queue.wait_for_input()));
        assert!(!is_ready(flooding.credit()) && !is_ready(flooding.all_handled()));
        assert!(is_ready(other.credit()), "workers have a credit each");
        flooding.give_back();
        assert!(is_ready(flooding.credit()) && !is_ready(flooding.all_handled()));
        (1..CREDIT).for_each(|_| flooding.give_back());
        assert!(is_ready(flooding.all_handled()));
    }
}
