//! Performs the pool's actions on worker processes, and reports what happens to them as the
//! pool's inputs.
//!
//! Each worker has two tasks: one watches its process and its output (`worker_task`), the other
//! reads its replies (`reply_reader`). The tasks push inputs to one queue (`event_queue`), from
//! which the run loop takes them with [`Executor::next`]. In the other direction, the run loop
//! calls [`Executor::perform`], which writes to a worker's connection or signals its process
//! directly. Everything runs on the main thread.
//!
//! The executor decides nothing. What it cannot do comes back as an input.

mod connection;
mod diagnostics;
mod event_queue;
mod output;
mod progress_news;
mod random;
mod reply_reader;
mod stall;
mod start;
#[cfg(test)]
mod tests;
mod worker_task;

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    io,
    rc::Rc,
    time::Duration,
};

use nix::sys::signalfd::SignalFd;
use protocol::wire::ToWorker;

use self::{
    connection::{Connection, Received},
    diagnostics::Diagnostics,
    event_queue::{EventQueue, NewsSender},
    random::Random,
    stall::StallWatch,
    start::Starter,
};
use crate::{settings::Settings, sink::Outlet};
use pool::{
    Action, Cancelled, Input, Jitter, News, Order, Remains, event::WorkerId, exit::ProcessEnd,
    signal::Signal,
};
use process::ProcessHandle;
use process::{KillScope, descriptors::OpenFiles, tree::Orphans};

/// The worker processes of a run.
#[derive(Debug)]
pub struct Executor {
    open_files: OpenFiles,
    stop_signal: Signal,
    outlet: Rc<Outlet>,
    starter: Starter,
    /// The workers whose process was started and whose end the run loop has not taken yet.
    workers: BTreeMap<WorkerId, Handle>,
    /// Workers to be started. A start takes a fraction of a millisecond, so the executor starts
    /// one at a time and lets other tasks run in between.
    pending_starts: VecDeque<WorkerId>,
    events: Rc<EventQueue>,
    /// The worker whose news the run loop is handling.
    handling: Option<WorkerId>,
    diagnostics: Diagnostics,
    /// `None` where processes that workers leave behind are left alone.
    orphans: Option<Rc<Orphans>>,
    random: Random,
    stalls: Rc<StallWatch>,
}

/// What actions on a worker need.
#[derive(Debug)]
struct Handle {
    leader: ProcessHandle,
    news: Rc<NewsSender>,
    /// `None` for a worker that takes no jobs.
    connection: Option<Rc<Connection>>,
}

impl Executor {
    /// Descriptors that stay open for each worker that takes jobs: the pipes of its connection.
    pub const CONNECTION_FILES: u64 = 2;
    /// Descriptors that are open in addition while a worker that takes jobs starts: the worker's
    /// ends of the connection.
    pub const CONNECTION_START_FILES: u64 = 3;
    /// Descriptors that stay open for each worker whose memory is sampled.
    pub const MEMORY_FILES: u64 = 1;

    /// Prepares to run the workers that `settings` describe and to send their output to `outlet`.
    /// `child_news` receives SIGCHLD. Must be called in the runtime.
    ///
    /// # Errors
    /// No descriptors are left, or the kernel provides no random numbers.
    pub fn new(
        settings: &Settings,
        open_files: OpenFiles,
        outlet: Rc<Outlet>,
        child_news: SignalFd,
    ) -> io::Result<Self> {
        let random = Random::new(getrandom::u64()?);
        Self::with_random(settings, open_files, outlet, child_news, random)
    }

    fn with_random(
        settings: &Settings,
        open_files: OpenFiles,
        outlet: Rc<Outlet>,
        child_news: SignalFd,
        mut random: Random,
    ) -> io::Result<Self> {
        let orphans = match settings.kill_scope {
            KillScope::Tree => Some(Rc::new(Orphans::new(child_news, random.next())?)),
            KillScope::Group | KillScope::Leader => None,
        };
        if let Some(orphans) = &orphans {
            tokio::task::spawn_local(Rc::clone(orphans).reap_all());
        }
        let timeout = settings.jobs.as_ref().and_then(|jobs| jobs.rules.timeout);
        let starter = Starter::new(settings, open_files, Rc::clone(&outlet), orphans.clone());
        Ok(Self {
            open_files,
            stop_signal: settings.stop_signal,
            outlet: Rc::clone(&outlet),
            diagnostics: Diagnostics::new(!starter.starts_launchers()),
            starter,
            workers: BTreeMap::new(),
            pending_starts: VecDeque::new(),
            events: Rc::default(),
            handling: None,
            orphans,
            random,
            stalls: Rc::new(StallWatch::new(timeout, outlet)),
        })
    }

    /// Waits for the next input. The call tells the executor that the previous input has been
    /// handled, which gives its worker the credit back. Cancelling the wait loses no input.
    pub async fn next(&mut self) -> Input {
        loop {
            if let Some(input) = self.try_next() {
                return input;
            }
            match self.pending_starts.pop_front() {
                Some(worker) => {
                    self.start(worker);
                    tokio::task::yield_now().await;
                }
                None => self.events.wait_for_input().await,
            }
        }
    }

    /// Returns the next input if there is one already. Like [`Executor::next`], the call tells the
    /// executor that the previous input has been handled.
    pub fn try_next(&mut self) -> Option<Input> {
        if let Some(handle) = self.handling.take().and_then(|worker| self.workers.get(&worker)) {
            handle.news.give_back();
        }
        let input = self.events.pop()?;
        if let Input::Worker { worker, news } = &input {
            self.handling = Some(*worker);
            if let News::Ended { pid, .. } = news {
                self.workers.remove(worker);
                self.diagnostics.forget(*worker, *pid);
            }
        }
        Some(input)
    }

    /// Performs an action. Does nothing for a worker that has ended meanwhile.
    pub fn perform(&mut self, action: &Action) {
        match action {
            Action::Spawn(worker) => self.pending_starts.push_back(*worker),
            Action::Withdraw(worker) => self.withdraw(*worker),
            Action::Send { worker, resume, orders } => self.send(*worker, *resume, orders),
            Action::Retract(worker) => self.retract(*worker),
            Action::Cancel { worker, id, why } => self.cancel(*worker, *id, *why),
            Action::Dismiss(worker) => {
                if let Some(connection) = self.connection(*worker) {
                    connection.dismiss();
                }
            }
            Action::Ask(worker) => self.signal(*worker, |leader| leader.ask(self.stop_signal)),
            Action::Kill(worker) => self.signal(*worker, |leader| leader.signal(Signal::KILL)),
            Action::SampleMemory { workers, limit } => {
                let pid = |worker: &WorkerId| Some((*worker, pid(&self.workers, *worker)?));
                let workers = workers.iter().filter_map(pid);
                self.events.push(self.diagnostics.sample_memory(workers, *limit));
            }
            Action::Examine { worker, id, is_over } => {
                if let Some(pid) = self.pid(*worker) {
                    let input = self.diagnostics.examine(*worker, pid, *id, *is_over);
                    input.into_iter().for_each(|input| self.events.push(input));
                }
            }
            Action::ExamineStart(worker) => {
                let unserved = self.pid(*worker).map(Diagnostics::unserved).unwrap_or_default();
                self.events.push(Input::StartExamined { worker: *worker, unserved });
            }
            Action::Requeued { .. } | Action::Emit(_) => {}
        }
    }

    /// Sends a signal of a user to a worker's process, or to the command that a launcher runs.
    ///
    /// # Errors
    /// There is no such process, or the system refused it.
    pub fn signal_worker(&self, worker: WorkerId, signal: Signal) -> io::Result<()> {
        let gone = || io::Error::other("it has ended");
        let handle = self.workers.get(&worker).ok_or_else(gone)?;
        match &handle.connection {
            Some(connection) if self.starter.starts_launchers() => {
                connection.signal_job_process(signal)
            }
            _ => handle.leader.signal_leader(signal),
        }
    }

    /// The supervisor's limits of open files.
    #[must_use]
    pub fn open_files(&self) -> OpenFiles {
        self.open_files
    }

    /// Kills the orphans of the run that were not killed with the worker they came from, and
    /// returns their names.
    pub async fn kill_orphans(&self) -> Vec<String> {
        match &self.orphans {
            Some(orphans) => orphans.kill_all().await,
            None => Vec::new(),
        }
    }

    /// Tells all workers that they were suspended for this time, before they are resumed.
    pub fn add_suspended(&self, time: Duration) {
        let connections = self.workers.values().filter_map(|handle| handle.connection.as_ref());
        connections.for_each(|connection| connection.add_suspended(time));
    }

    /// Kills all descendants of the supervisor at once and reports nothing.
    pub fn kill_descendants(&self) {
        if let Some(orphans) = &self.orphans {
            orphans.kill_descendants();
        }
    }

    /// The id of the job that each busy worker runs, according to its recorder.
    pub fn current_jobs(&self) -> impl Iterator<Item = (WorkerId, u64)> {
        self.workers.iter().filter_map(|(worker, handle)| {
            let job = handle.connection.as_ref()?.current_job()?;
            Some((*worker, job))
        })
    }

    /// The pid of a worker, as long as it is not reaped.
    #[must_use]
    pub fn pid(&self, worker: WorkerId) -> Option<i32> {
        pid(&self.workers, worker)
    }

    fn connection(&self, worker: WorkerId) -> Option<&Rc<Connection>> {
        self.workers.get(&worker)?.connection.as_ref()
    }

    fn signal(&self, worker: WorkerId, send: impl Fn(&ProcessHandle)) {
        if let Some(handle) = self.workers.get(&worker) {
            send(&handle.leader);
        }
    }

    fn start(&mut self, worker: WorkerId) {
        let news = Rc::new(NewsSender::new(worker, Rc::clone(&self.events)));
        let jitter = self.jitter();
        match self.starter.start(worker, Rc::clone(&news), jitter) {
            Ok(task) => {
                let (leader, connection) = (task.process.handle(), task.connection.clone());
                self.workers.insert(worker, Handle { leader, news, connection });
                tokio::task::spawn_local(task.run());
            }
            Err(fault) => self.report_no_start(worker, ProcessEnd::NeverStarted(fault)),
        }
    }

    /// Withdraws a start that has not begun. A worker that has been started is left alone.
    fn withdraw(&mut self, worker: WorkerId) {
        // The pool usually withdraws all starts in order, so the search ends at the first.
        let index = self.pending_starts.iter().position(|pending| *pending == worker);
        if index.and_then(|index| self.pending_starts.remove(index)).is_some() {
            self.report_no_start(worker, ProcessEnd::Withdrawn);
        }
    }

    fn report_no_start(&mut self, worker: WorkerId, end: ProcessEnd) {
        let (remains, jitter) = (Remains::default(), self.jitter());
        let news = News::Ended { pid: None, end, remains, jitter };
        self.events.push(Input::Worker { worker, news });
    }

    fn jitter(&mut self) -> Jitter {
        Jitter::from_random(self.random.next())
    }

    fn send(&self, worker: WorkerId, resume: bool, orders: &[Order]) {
        let Some(handle) = self.workers.get(&worker) else { return };
        let Some(connection) = &handle.connection else { return };
        if resume {
            connection.send_message(&ToWorker::Resume);
        }
        if connection.awaits_first_line() {
            self.stalls.begin(worker, handle.leader.clone(), connection);
        }
        connection.send_jobs(orders).into_iter().for_each(|news| handle.news.send(news));
        connection.flush();
    }

    /// Takes back the jobs that a worker has not started.
    fn retract(&self, worker: WorkerId) {
        let Some(handle) = self.workers.get(&worker) else { return };
        let Some(connection) = &handle.connection else { return };
        let mut received = Received::default();
        let retracted = connection.retract(&mut received);
        if let Some(pid) = handle.leader.pid() {
            reply_reader::forward_reports(worker, pid, connection, &self.outlet, &mut received);
        }
        connection.answered(received.replies.len());
        let started = *retracted.as_ref().unwrap_or(&None);
        handle.news.send(News::Retracted { replies: received.replies, started });
        if let Err(fault) = retracted {
            handle.news.send(News::Broken(fault));
        }
    }

    fn cancel(&self, worker: WorkerId, id: u64, why: Cancelled) {
        let Some(connection) = self.connection(worker) else { return };
        let reason = Cow::Borrowed(match why {
            Cancelled::Timeout => "timeout",
            Cancelled::ByUser => "cancelled",
            Cancelled::Memory => "memory",
        });
        connection.send_message(&ToWorker::Cancel { id, reason });
        connection.flush();
    }
}

fn pid(workers: &BTreeMap<WorkerId, Handle>, worker: WorkerId) -> Option<i32> {
    workers.get(&worker)?.leader.pid()
}
