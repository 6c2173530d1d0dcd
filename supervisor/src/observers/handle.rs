//! What a task on the observers' thread may ask of the run: a [`RunHandle`] for each.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};

use super::{Message, Output};
use crate::{
    model::{ControlCommand, Done, Refusal},
    observe::view::View,
};
use pool::event::WorkerId;
use process::memory::MemorySampler;

/// The shortest interval between two measurements of the workers' memory.
const MEASURE_INTERVAL: Duration = Duration::from_secs(1);

/// The run, as a task on the observers' thread reaches it.
#[derive(Clone, Debug)]
pub struct RunHandle {
    messages: mpsc::Sender<Message>,
    events: broadcast::WeakSender<Arc<[u8]>>,
    over: watch::Receiver<Option<Arc<View>>>,
    measured: Rc<Cell<Option<Instant>>>,
}

impl RunHandle {
    pub(super) fn new(
        messages: mpsc::Sender<Message>,
        events: broadcast::WeakSender<Arc<[u8]>>,
        over: watch::Receiver<Option<Arc<View>>>,
    ) -> Self {
        Self { messages, events, over, measured: Rc::default() }
    }

    /// A view of the run; once the run is over, its last one. `None` if the run ended without one.
    pub async fn view(&self) -> Option<Arc<View>> {
        let mut view = self.ask_view().await;
        if let Some(seen) = &view
            && self.measure(seen).await
        {
            view = self.ask_view().await;
        }
        view.or_else(|| self.over.borrow().clone())
    }

    async fn ask_view(&self) -> Option<Arc<View>> {
        let (reply, view) = oneshot::channel();
        self.messages.send(Message::View(reply)).await.ok()?;
        view.await.ok()
    }

    /// Waits until the run is over, and returns its last view.
    pub async fn over(&self) -> Option<Arc<View>> {
        let mut over = self.over.clone();
        let view = over.wait_for(Option::is_some).await;
        view.ok().and_then(|view| view.clone())
    }

    /// The stream of events from now on.
    #[must_use]
    pub fn events(&self) -> EventLines {
        EventLines { pieces: self.events.upgrade().map(|events| events.subscribe()), missed: 0 }
    }

    /// Asks for recent output of workers; `None` once the run is over. The receiver resolves when
    /// the run's loop answers.
    pub async fn output(&self) -> Option<oneshot::Receiver<Output>> {
        let (reply, output) = oneshot::channel();
        self.messages.send(Message::Output(reply)).await.ok()?;
        Some(output)
    }

    /// Changes the run.
    ///
    /// # Errors
    /// The run refuses, or is over.
    pub async fn perform(&self, command: ControlCommand) -> Result<Done, Refusal> {
        let (reply, done) = oneshot::channel();
        let sent = self.messages.send(Message::Command(command, reply)).await;
        sent.map_err(|_| Refusal::RunOver)?;
        done.await.unwrap_or(Err(Refusal::RunOver))
    }

    /// Measures the workers' memory, unless that was done less than [`MEASURE_INTERVAL`] ago, and
    /// sends the result to the board.
    async fn measure(&self, view: &View) -> bool {
        if self.measured.get().is_some_and(|at| at.elapsed() < MEASURE_INTERVAL) {
            return false;
        }
        self.measured.set(Some(Instant::now()));
        let mut sampler = MemorySampler::default();
        sampler.refresh();
        let of = |live: &crate::observe::board::Live| {
            let found = sampler.sample(live.pid, true, u64::MAX)?;
            Some((live.worker, found.bytes()))
        };
        let all: Vec<(WorkerId, u64)> = view.live().filter_map(of).collect();
        self.messages.send(Message::Measured(all)).await.is_ok()
    }
}

/// The stream of events, for one subscriber.
#[derive(Debug)]
pub struct EventLines {
    pieces: Option<broadcast::Receiver<Arc<[u8]>>>,
    missed: u64,
}

impl EventLines {
    /// The next records, one per line; `None` once the stream has ended.
    pub async fn next(&mut self) -> Option<Arc<[u8]>> {
        loop {
            match self.pieces.as_mut()?.recv().await {
                Ok(piece) => return Some(piece),
                Err(broadcast::error::RecvError::Lagged(pieces)) => self.missed += pieces,
                Err(broadcast::error::RecvError::Closed) => self.pieces = None,
            }
        }
    }

    /// Whether the subscriber has missed records, by reading too slowly, since the last call.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.missed) > 0
    }
}
