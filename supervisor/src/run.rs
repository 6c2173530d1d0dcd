//! The run: waits for news, lets the pool decide, and performs its actions. It is the only module
//! that names every folder.
//!
//! `Run` is the state and never waits: `Run::handle` turns news into a response, and `Run::step`
//! feeds an input to the pool. `wait.rs` waits for news, `closing.rs` brings a run to its end once
//! all workers have ended, and `setup.rs` opens everything before the first step.

mod closing;
mod control;
mod error;
mod handle;
mod info;
mod input;
mod listeners;
mod observe;
mod outcomes;
mod phase;
mod record;
mod setup;
pub mod status;
#[cfg(test)]
mod tests;
mod views;
mod wait;

use std::{collections::HashMap, io, panic, rc::Rc, sync::Arc};

use tokio::runtime::LocalOptions;

pub use self::{error::RunError, record::RecordError};
use self::{
    handle::Response,
    outcomes::Edges,
    phase::{Clock, Phase, StopRequests},
    setup::Setup,
    views::{RunEvent, Views},
    wait::Waits,
};
use crate::{executor::Executor, settings::Settings, sink::Stream};
use pool::{Action, Actions, Input, Pool, RunEnd, event::WorkerId, signal::Signal};
use process::{descriptors::OpenFiles, tree::suspend_all, warden::Ward};
use records::RunInfo;

/// Runs workers until all have ended, and with jobs until all of those have.
///
/// Must be called on the process's first thread, before it has others: the kernel kills workers
/// when the thread that started them ends.
///
/// # Errors
/// The run could not begin; no worker was started.
pub fn run(settings: &Settings, ward: Ward) -> Result<RunEnd, RunError> {
    let setup = Setup::open(settings)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .map_err(RunError::refused("start the runtime"))?;
    runtime.block_on(async {
        let (run, waits) = setup.start(settings, ward).await?;
        // A task of its own: the runtime polls the future that it blocks on less often.
        let end = tokio::task::spawn_local(drive(run, waits)).await;
        Ok(end.unwrap_or_else(|fault| panic::resume_unwind(fault.into_panic())))
    })
}

/// What the loop asks of the executor between two waits. Tests record the actions instead.
trait Perform {
    /// Performs an action.
    fn perform(&mut self, action: Action);

    /// The process of a live worker.
    fn pid(&self, worker: WorkerId) -> Option<i32>;

    /// Sends a signal of a user to a worker.
    fn signal(&self, worker: WorkerId, signal: Signal) -> io::Result<()>;

    /// The job that each worker runs at the moment; reads shared memory of each.
    fn current_jobs(&self) -> HashMap<WorkerId, u64>;

    /// The limit on open files.
    fn open_files(&self) -> OpenFiles;
}

impl Perform for Executor {
    fn perform(&mut self, action: Action) {
        Self::perform(self, &action);
    }

    fn pid(&self, worker: WorkerId) -> Option<i32> {
        self.pid(worker)
    }

    fn signal(&self, worker: WorkerId, signal: Signal) -> io::Result<()> {
        self.signal_worker(worker, signal)
    }

    fn current_jobs(&self) -> HashMap<WorkerId, u64> {
        self.current_jobs().collect()
    }

    fn open_files(&self) -> OpenFiles {
        self.open_files()
    }
}

/// A run between two waits.
struct Run<E> {
    settings: Rc<Settings>,
    info: Arc<RunInfo>,
    clock: Clock,
    pool: Pool,
    /// Filled by one step of the pool and emptied before the next.
    actions: Actions,
    executor: E,
    edges: Edges,
    views: Views,
    phase: Phase,
    stops: StopRequests,
}

impl<E: Perform> Run<E> {
    /// Lets the pool take one input, and performs what it decides. Returns how the run ended once
    /// all workers have ended.
    fn step(&mut self, input: Input) -> Option<RunEnd> {
        let now = self.clock.now();
        self.pool.step(now, input, &mut self.actions);
        self.perform(now);
        self.refresh_views(now);
        self.pool.end()
    }

    fn refresh_views(&mut self, now: pool::Tick) {
        let executor = &self.executor;
        let running = || executor.current_jobs().len();
        self.views.refresh(now, self.pool.is_rolling(), &running);
    }

    fn emit(&mut self, now: pool::Tick, event: RunEvent<'_>) {
        self.views.emit(now, event);
    }

    /// Writes a message to stderr.
    fn say(&self, text: String) {
        self.edges.outlet.writer().push(Stream::Stderr, text.into_bytes());
    }
}

/// Runs the loop until nothing is left to do.
async fn drive(mut run: Run<Executor>, mut waits: Waits) -> RunEnd {
    let mut input = Input::Timer;
    loop {
        if let Some(end) = run.step(input) {
            return run.close(waits, end).await;
        }
        input = loop {
            if let Some(input) = run.due_input() {
                break input;
            }
            let news = waits.news(&mut run).await;
            match run.handle(news) {
                Response::Step(input) => break input,
                // Only a closing run leaves.
                Response::Wait | Response::Leave => {}
                Response::Suspend => run.suspend(),
                Response::Abandon => run.abandon(),
            }
        };
    }
}

impl Run<Executor> {
    /// Stops all workers and the supervisor itself, as for Ctrl-Z, until it is continued. That
    /// time does not count.
    fn suspend(&mut self) {
        suspend_all(|suspended| self.clock.skip(suspended));
    }

    /// Ends everything at once, because the warden is dead: nobody would clean up after this
    /// process.
    fn abandon(&self) -> ! {
        self.executor.kill_descendants();
        std::process::exit(128 + Signal::KILL.number())
    }
}
