//! What can be asked by those who look on? A [`Hub`] each: how the run looks, its events, its end.

use std::{cell::Cell, rc::Rc, sync::Arc, time::Duration};

use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};

use super::Ask;
use crate::observe::view::View;
use pool::event::WorkerId;
use process::memory::MemorySampler;

/// Memory is looked at no more often.
const MEASURED_EVERY: Duration = Duration::from_secs(1);

/// The run, as those see it who look on.
#[derive(Clone, Debug)]
pub struct Hub {
    asks: mpsc::Sender<Ask>,
    events: broadcast::WeakSender<Arc<[u8]>>,
    over: watch::Receiver<Option<Arc<View>>>,
    measured: Rc<Cell<Option<Instant>>>,
}

impl Hub {
    pub(super) fn new(
        asks: mpsc::Sender<Ask>,
        events: broadcast::WeakSender<Arc<[u8]>>,
        over: watch::Receiver<Option<Arc<View>>>,
    ) -> Self {
        Self { asks, events, over, measured: Rc::default() }
    }

    /// How the run looks; once it is over, how it ended up. `None` where it is over without that.
    pub async fn look(&self) -> Option<Arc<View>> {
        let mut view = self.ask().await;
        if let Some(seen) = &view
            && self.measure(seen).await
        {
            view = self.ask().await;
        }
        view.or_else(|| self.over.borrow().clone())
    }

    async fn ask(&self) -> Option<Arc<View>> {
        let (to, view) = oneshot::channel();
        self.asks.send(Ask::Look(to)).await.ok()?;
        view.await.ok()
    }

    /// Waits until the run is over; how it ended up.
    pub async fn over(&self) -> Option<Arc<View>> {
        let mut over = self.over.clone();
        let view = over.wait_for(Option::is_some).await;
        view.ok().and_then(|view| view.clone())
    }

    /// The stream of events from now on.
    #[must_use]
    pub fn events(&self) -> Lines {
        Lines { pieces: self.events.upgrade().map(|events| events.subscribe()), missed: 0 }
    }

    /// Asks something of the loop that is none of the questions above.
    ///
    /// # Errors
    /// The run is over.
    pub async fn say(&self, ask: Ask) -> Result<(), Ask> {
        self.asks.send(ask).await.map_err(|error| error.0)
    }

    /// Looks at the workers' memory, where that is due, and tells the board.
    async fn measure(&self, view: &View) -> bool {
        if self.measured.get().is_some_and(|at| at.elapsed() < MEASURED_EVERY) {
            return false;
        }
        self.measured.set(Some(Instant::now()));
        let mut scales = MemorySampler::default();
        scales.refresh();
        let of = |live: &crate::observe::board::Live| {
            let found = scales.sample(live.pid, true, u64::MAX)?;
            Some((live.worker, found.resident_bytes))
        };
        let all: Vec<(WorkerId, u64)> = view.live().filter_map(of).collect();
        self.asks.send(Ask::Measured(all)).await.is_ok()
    }
}

/// The stream of events, for one who listens.
#[derive(Debug)]
pub struct Lines {
    pieces: Option<broadcast::Receiver<Arc<[u8]>>>,
    missed: u64,
}

impl Lines {
    /// The next records, a line each; `None` once there are no more.
    pub async fn next(&mut self) -> Option<Arc<[u8]>> {
        loop {
            match self.pieces.as_mut()?.recv().await {
                Ok(piece) => return Some(piece),
                Err(broadcast::error::RecvError::Lagged(pieces)) => self.missed += pieces,
                Err(broadcast::error::RecvError::Closed) => self.pieces = None,
            }
        }
    }

    /// Whether some were lost since this was last asked, because they were not read in time.
    pub fn take_gap(&mut self) -> bool {
        std::mem::take(&mut self.missed) > 0
    }
}
