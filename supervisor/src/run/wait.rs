//! Waiting for news. This is the only part of the loop that waits, in two places: while workers
//! run, and while a run whose workers have ended is closing.

use std::{pin::Pin, rc::Rc};

use super::{
    Run,
    handle::News,
    phase::OutputState,
    record::{Recording, Sequence},
};
use crate::{
    deadline_timer::DeadlineTimer,
    executor::Executor,
    observers::{Message, Observers},
    sink::{Outlet, writer::WriteFailure},
    source::{Batch, Source},
};
use process::signals::{Request, Requests};

/// The number of consecutive news of workers, after which the loop looks at everything else.
const WORKER_NEWS_MAX: u32 = 8;

/// A wait that outlives one turn of the loop, because its news are rare.
type Wait<T> = Pin<Box<dyn Future<Output = T>>>;

/// What the loop waits with.
pub(super) struct Waits {
    signals: Rc<Requests>,
    request: Wait<Request>,
    failure: Wait<WriteFailure>,
    timer: DeadlineTimer,
    /// Consecutive news of workers.
    worker_news: u32,
}

impl Waits {
    pub(super) fn new(signals: Requests, request: Option<Request>, outlet: Rc<Outlet>) -> Self {
        let signals = Rc::new(signals);
        Self {
            request: match request {
                Some(request) => Box::pin(std::future::ready(request)),
                None => next_request(Rc::clone(&signals)),
            },
            signals,
            failure: Box::pin(async move { outlet.writer().failed().await }),
            timer: DeadlineTimer::default(),
            worker_news: 0,
        }
    }

    /// Waits for the next news of a running run.
    pub(super) async fn news(&mut self, run: &mut Run<Executor>) -> News {
        // Most news are of workers. Everything else is looked at often enough, not every time.
        self.worker_news = (self.worker_news + 1) % WORKER_NEWS_MAX;
        if self.worker_news > 0
            && let Some(input) = run.executor.try_next()
        {
            return News::Input(input);
        }
        let ticks = [run.pool.next_deadline(), run.views.due()];
        let deadline = ticks.into_iter().flatten().min().map(|tick| run.clock.instant(tick));
        let edges = &mut run.edges;
        let is_held = edges.output == OutputState::Held;
        let can_fail = matches!(edges.output, OutputState::Open | OutputState::Held);
        let wants_jobs = edges.output == OutputState::Open && run.pool.wants_jobs();
        let recording = edges.recording.as_ref();
        tokio::select! {
            // Rare news come first, so that they never wait for frequent ones.
            biased;
            request = &mut self.request => {
                self.request = next_request(Rc::clone(&self.signals));
                News::Request(request)
            }
            () = room(&edges.outlet, recording), if is_held => News::Room,
            failure = &mut self.failure, if can_fail => News::OutputFailed(failure),
            committed = committed(recording) => News::Committed(committed),
            () = edges.outlet.written(), if recording.is_some() => News::Written,
            message = message(&mut edges.observers) => News::Message(message),
            supply = supply(&mut edges.input.source), if wants_jobs => News::Batch(supply),
            () = self.timer.wait(deadline), if deadline.is_some() => News::Deadline,
            input = run.executor.next() => News::Input(input),
        }
    }

    /// Waits for the next news of a run whose workers have ended.
    pub(super) async fn closing_news<E>(&mut self, run: &mut Run<E>) -> News {
        let deadline = run.phase.deadline();
        let recording = run.edges.recording.as_ref();
        let holds = recording.is_some_and(Recording::holds_outcomes);
        tokio::select! {
            biased;
            request = &mut self.request => {
                self.request = next_request(Rc::clone(&self.signals));
                News::Request(request)
            }
            committed = committed(recording), if holds => News::Committed(committed),
            () = self.timer.wait(deadline), if deadline.is_some() => News::Deadline,
            message = message(&mut run.edges.observers) => News::Message(message),
        }
    }
}

fn next_request(signals: Rc<Requests>) -> Wait<Request> {
    Box::pin(async move { signals.next().await })
}

/// Waits until more is committed; for ever without a log.
async fn committed(recording: Option<&Recording>) -> Result<Sequence, String> {
    match recording {
        Some(recording) => recording.committed().await,
        None => std::future::pending().await,
    }
}

/// Waits until outcomes have room.
async fn room(outlet: &Outlet, recording: Option<&Recording>) {
    loop {
        outlet.takes_outcomes().await;
        match recording.filter(|recording| !recording.has_room()) {
            Some(recording) => recording.room().await,
            None => return,
        }
    }
}

/// Waits for an observer's message; for ever if nobody can observe.
async fn message(observers: &mut Option<Observers>) -> Message {
    match observers {
        Some(observers) => observers.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for jobs; for ever without a source.
async fn supply(source: &mut Option<Source>) -> Batch {
    match source {
        Some(source) => source.next().await,
        None => std::future::pending().await,
    }
}
