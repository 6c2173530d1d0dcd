//! Performs the pool's actions on worker processes, and turns what happens to them into the
//! pool's inputs. It decides nothing.

mod life;
pub mod process;
mod relay;

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher, RandomState},
    io,
    os::fd::OwnedFd,
    rc::Rc,
};

use tokio::{
    net::unix::pipe,
    sync::{Notify, mpsc},
};

use self::{
    life::Life,
    process::{Leader, Process},
};
use crate::{
    event::WorkerId,
    exit::{StartFault, StartStep},
    os::{descriptors::OpenFiles, launch::Launch, procfs::OomWatch},
    pool::{Action, Input, Jitter, News},
    settings::{Program, Settings},
    signal::Signal,
    sink::Outlet,
};

/// Inputs that wait for the loop; whoever brings more waits himself.
const INPUTS_MAX: usize = 256;
/// The variable that tells each worker its number.
const NUMBER_VARIABLE: &str = "SUPERVISOR_WORKER";

/// The worker processes of a run.
#[derive(Debug)]
pub struct Executor {
    program: Program,
    open_files: OpenFiles,
    stop_signal: Signal,
    outlet: Rc<Outlet>,
    lives: HashMap<WorkerId, Handle>,
    /// Workers to be started, one a turn: a start takes a fraction of a millisecond, and between
    /// many of them signals and ends must be heard.
    waiting: VecDeque<WorkerId>,
    /// The life whose news the loop has in hand.
    told: Option<WorkerId>,
    inputs: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    chance: RandomState,
    oom: Rc<OomWatch>,
}

/// What the executor holds of a life.
#[derive(Debug)]
struct Handle {
    leader: Leader,
    /// Tells the life that the loop has dealt with its news.
    heard: Rc<Notify>,
}

impl Executor {
    /// For the workers of a run, whose output goes to `outlet`.
    #[must_use]
    pub fn new(settings: &Settings, open_files: OpenFiles, outlet: Rc<Outlet>) -> Self {
        Self {
            program: settings.program.clone(),
            open_files,
            stop_signal: settings.stop_signal,
            outlet,
            lives: HashMap::new(),
            waiting: VecDeque::new(),
            told: None,
            inputs: mpsc::channel(INPUTS_MAX),
            chance: RandomState::new(),
            oom: Rc::default(),
        }
    }

    /// The next thing that happens to a worker. Asking for it says that the last one has been
    /// dealt with.
    pub async fn next(&mut self) -> Input {
        if let Some(handle) = self.told.take().and_then(|worker| self.lives.get(&worker)) {
            handle.heard.notify_one();
        }
        while self.inputs.1.is_empty()
            && let Some(worker) = self.waiting.pop_front()
        {
            self.spawn(worker);
            tokio::task::yield_now().await;
        }
        let input = self.inputs.1.recv().await;
        if let Some(Input::Worker { worker, news }) = &input {
            self.told = Some(*worker);
            if matches!(news, News::Ended { .. }) {
                self.lives.remove(worker);
            }
        }
        // We hold a sender ourselves, so the channel never closes.
        input.unwrap_or(Input::Timer)
    }

    /// Performs an action; what is to be told is not its business.
    pub fn perform(&mut self, action: &Action) {
        match action {
            Action::Spawn(worker) => self.waiting.push_back(*worker),
            Action::Ask(worker) => self.signal(*worker, Leader::ask),
            Action::Kill(worker) if self.waiting.contains(worker) => {
                self.waiting.retain(|waiting| waiting != worker);
                self.never_came_to_be(*worker, StartFault { step: StartStep::Spawn, errno: 0 });
            }
            Action::Kill(worker) => self.signal(*worker, |leader, _| leader.signal(Signal::KILL)),
            Action::Tell(_) => {}
        }
    }

    fn signal(&self, worker: WorkerId, send: impl Fn(&Leader, Signal)) {
        if let Some(life) = self.lives.get(&worker) {
            send(&life.leader, self.stop_signal);
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        match self.start(worker) {
            Ok(life) => {
                let (leader, heard) = (life.process.leader(), Rc::clone(&life.heard));
                self.lives.insert(worker, Handle { leader, heard });
                let jitter = self.jitter(worker);
                tokio::task::spawn_local(life.live(self.inputs.0.clone(), jitter));
            }
            Err(fault) => self.never_came_to_be(worker, fault),
        }
    }

    fn never_came_to_be(&self, worker: WorkerId, fault: StartFault) {
        let news = News::Ended { pid: None, end: Err(fault), jitter: self.jitter(worker) };
        let inputs = self.inputs.0.clone();
        // A task, since the channel may be full and the loop must not wait for itself.
        tokio::task::spawn_local(async move {
            let _ = inputs.send(Input::Worker { worker, news }).await;
        });
    }

    fn jitter(&self, worker: WorkerId) -> Jitter {
        Jitter::from_random(self.chance.hash_one(worker))
    }

    fn start(&self, worker: WorkerId) -> Result<Life, StartFault> {
        let mut launch = Launch::new(&self.program, self.open_files, &[]);
        launch.set_env(NUMBER_VARIABLE, &worker.slot.to_string());
        let pipe = || output_pipe().map_err(|error| StartFault::new(StartStep::Spawn, &error));
        let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
        let process = Process::start(&launch, &[], out.into(), err.into())?;
        let memory_limited = self.program.limits.memory().is_some();
        let (outlet, oom) = (Rc::clone(&self.outlet), Rc::clone(&self.oom));
        let heard = Rc::default();
        Ok(Life { worker, process, stdout, stderr, outlet, memory_limited, oom, heard })
    }
}

/// A pipe for a worker's output: our end does not block, the worker's does.
fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(read.into())?, write.into()))
}
