//! Who looks on? One thread serves all that look or ask. What they ask comes to the loop through a
//! bounded queue; what the loop hands out are views of the board, at most ten a second and only
//! when asked for, and a stream of events that is thinned before it can cost anything. Whoever
//! does not keep up loses detail, which is counted, and holds up nobody. Where nobody looks there
//! is no thread.

mod hub;
mod stream;

use std::{io, pin::Pin, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    sync::{broadcast, mpsc, oneshot, watch},
    task::LocalSet,
    time::timeout,
};

pub use self::{
    hub::{Hub, Lines},
    stream::{SKIPPED_EVERY, Stream},
};
use crate::{control::wire::Act, observe::view::View};
use pool::event::WorkerId;

/// More questions than this wait with those who ask.
const ASKS_MAX: usize = 64;
/// So many pieces of the stream are kept for those who are slow.
const PIECES_MAX: usize = 1024;
/// A view younger than this is shown again.
const VIEW_AGE_MAX: Duration = Duration::from_millis(100);
/// When a run is over, those who look have so long to hear of it.
const FAREWELL: Duration = Duration::from_millis(300);

/// What is asked of the loop.
#[derive(Debug)]
pub enum Ask {
    /// How does it look?
    Look(oneshot::Sender<Arc<View>>),
    /// Nothing: so much memory these workers hold, in bytes.
    Measured(Vec<(WorkerId, u64)>),
    /// What have workers written lately, and what do they write from now on?
    Logs(oneshot::Sender<(Vec<LogPiece>, broadcast::Receiver<LogPiece>)>),
    /// Something is to be done; what was done, or why not.
    Act(Act, oneshot::Sender<Result<String, String>>),
}

/// A piece of a worker's output.
#[derive(Clone, Debug)]
pub struct LogPiece {
    /// Whose.
    pub worker: WorkerId,
    /// To which stream: 1 or 2.
    pub stream: u8,
    /// As it came.
    pub bytes: Arc<[u8]>,
}

/// Something that the thread does for as long as the run goes on.
pub type Task = Box<dyn FnOnce(Hub) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The loop's side of those who look on.
#[derive(Debug)]
pub struct Onlookers {
    asks: mpsc::Receiver<Ask>,
    over: watch::Sender<Option<Arc<View>>>,
    stream: Stream,
    view: Option<Arc<View>>,
    done: oneshot::Receiver<()>,
}

impl Onlookers {
    /// Starts the thread, which does these.
    ///
    /// # Errors
    /// No thread to be had, or no runtime.
    pub fn start(tasks: Vec<Task>) -> io::Result<Self> {
        let (ask, asks) = mpsc::channel(ASKS_MAX);
        let (events, _) = broadcast::channel(PIECES_MAX);
        let (over, is_over) = watch::channel(None);
        let (finished, done) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stream, events) = (Stream::new(events.clone()), events.downgrade());
        thread::Builder::new().name("onlookers".into()).spawn(move || {
            serve(&runtime, Hub::new(ask, events, is_over), tasks);
            // The loop may have gone by now.
            let _ = finished.send(());
        })?;
        Ok(Self { asks, over, stream, view: None, done })
    }

    /// The next question. Never returns once nobody can ask any more.
    pub async fn asked(&mut self) -> Ask {
        match self.asks.recv().await {
            Some(ask) => ask,
            None => std::future::pending().await,
        }
    }

    /// Shows how it looks, `now`, to one who asked.
    pub fn show(
        &mut self,
        now: Duration,
        to: oneshot::Sender<Arc<View>>,
        take: impl FnOnce() -> View,
    ) {
        let is_young = |view: &&Arc<View>| now.saturating_sub(view.at) < VIEW_AGE_MAX;
        let view = match self.view.as_ref().filter(is_young) {
            Some(view) => Arc::clone(view),
            None => Arc::clone(self.view.insert(Arc::new(take()))),
        };
        // One who has gone meanwhile need not see it.
        let _ = to.send(view);
    }

    /// Something was changed at somebody's word, who shall see it when he looks.
    pub fn forget(&mut self) {
        self.view = None;
    }

    /// The stream of events.
    pub fn stream(&mut self) -> &mut Stream {
        &mut self.stream
    }

    /// The run is over, and this is how it ended up. Waits until that has been told, but not for
    /// those who do not listen.
    pub async fn end(self, view: View) {
        let Self { asks, over, stream, done, .. } = self;
        drop((asks, stream));
        over.send_replace(Some(Arc::new(view)));
        // Whoever is not done by then is left: the process ends.
        let _ = timeout(FAREWELL, done).await;
    }
}

fn serve(runtime: &runtime::Runtime, hub: Hub, tasks: Vec<Task>) {
    LocalSet::new().block_on(runtime, async move {
        let tasks = tasks.into_iter().map(|task| tokio::task::spawn_local(task(hub.clone())));
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            // One that panicked has nothing to say, and the others go on.
            let _ = task.await;
        }
    });
}
