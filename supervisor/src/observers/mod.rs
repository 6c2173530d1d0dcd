//! Observers of a run: one thread serves every client of the control socket and of the web server.
//!
//! Their messages reach the run's loop through a bounded queue. The loop hands out [views of the
//! board](View), at most ten a second and only on demand, and a stream of events that is thinned
//! before it costs anything. An observer that does not keep up loses detail, which is counted, and
//! never delays the run. A run that nobody can observe has no such thread.

mod handle;
mod stream;

use std::{fmt, io, pin::Pin, sync::Arc, thread, time::Duration};

use tokio::{
    runtime,
    sync::{broadcast, mpsc, oneshot, watch},
    task::LocalSet,
    time::timeout,
};

pub use self::{
    handle::{EventLines, RunHandle},
    stream::{EventStream, WINDOW},
};
use crate::{
    model::{ControlCommand, Done, OutputPiece, Refusal},
    observe::view::View,
};
use pool::event::WorkerId;

/// Messages that wait for the loop; with more than this, their senders wait.
const MESSAGES_MAX: usize = 64;
/// Pieces of the event stream that are kept for slow subscribers.
const PIECES_MAX: usize = 1024;
/// A view that is younger than this is handed out again.
const VIEW_AGE_MAX: Duration = Duration::from_millis(100);
/// The time that observers have, after the end of a run, to read the end of it.
const FAREWELL: Duration = Duration::from_millis(300);

/// Recent output of workers, and a receiver of what they write from now on.
pub type Output = (Vec<OutputPiece>, broadcast::Receiver<OutputPiece>);

/// A message from the observers' thread to the run's loop.
#[derive(Debug)]
pub enum Message {
    /// Asks for a view of the run.
    View(oneshot::Sender<Arc<View>>),
    /// Reports the memory of workers, in bytes; needs no answer.
    Measured(Vec<(WorkerId, u64)>),
    /// Asks for the output of workers.
    Output(oneshot::Sender<Output>),
    /// Asks for a change to the run.
    Command(ControlCommand, oneshot::Sender<Result<Done, Refusal>>),
}

/// Something that the observers' thread does for as long as the run goes on.
pub type Task = Box<dyn FnOnce(RunHandle) -> Pin<Box<dyn Future<Output = ()>>> + Send>;

/// The loop's side of the observers.
pub struct Observers {
    messages: mpsc::Receiver<Message>,
    over: watch::Sender<Option<Arc<View>>>,
    view: Option<Arc<View>>,
    done: oneshot::Receiver<()>,
}

impl fmt::Debug for Observers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observers").finish_non_exhaustive()
    }
}

impl Observers {
    /// Starts the thread, which runs these tasks, and returns the stream of events that it reads.
    ///
    /// # Errors
    /// The thread or its runtime cannot be started.
    pub fn start(tasks: Vec<Task>) -> io::Result<(Self, EventStream)> {
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let (events, _) = broadcast::channel(PIECES_MAX);
        let (over, is_over) = watch::channel(None);
        let (finished, done) = oneshot::channel();
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        let (stream, events) = (EventStream::new(events.clone()), events.downgrade());
        thread::Builder::new().name("observers".into()).spawn(move || {
            run_tasks(&runtime, RunHandle::new(sender, events, is_over), tasks);
            // The loop may have ended before.
            let _ = finished.send(());
        })?;
        Ok((Self { messages, over, view: None, done }, stream))
    }

    /// The next message. Waits for ever once no task is left that could send one.
    pub async fn next(&mut self) -> Message {
        match self.messages.recv().await {
            Some(message) => message,
            None => std::future::pending().await,
        }
    }

    /// A view of the run at `now`: a recent one, or the one that `take` makes.
    pub fn view(&mut self, now: Duration, take: impl FnOnce() -> View) -> Arc<View> {
        let is_recent = |view: &&Arc<View>| now.saturating_sub(view.at) < VIEW_AGE_MAX;
        match self.view.as_ref().filter(is_recent) {
            Some(view) => Arc::clone(view),
            None => Arc::clone(self.view.insert(Arc::new(take()))),
        }
    }

    /// Forgets the recent view, so that an observer that changed the run sees its own change.
    pub fn invalidate(&mut self) {
        self.view = None;
    }

    /// Publishes the last view of the run, and waits a little for observers to read it. The stream
    /// of events must have been dropped.
    pub async fn end(self, view: View) {
        let Self { messages, over, done, .. } = self;
        drop(messages);
        over.send_replace(Some(Arc::new(view)));
        // A task that takes longer ends with the process.
        let _ = timeout(FAREWELL, done).await;
    }
}

fn run_tasks(runtime: &runtime::Runtime, handle: RunHandle, tasks: Vec<Task>) {
    LocalSet::new().block_on(runtime, async move {
        let tasks = tasks.into_iter().map(|task| tokio::task::spawn_local(task(handle.clone())));
        let tasks: Vec<_> = tasks.collect();
        for task in tasks {
            // The other tasks continue after one has panicked.
            let _ = task.await;
        }
    });
}
