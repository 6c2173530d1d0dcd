//! Performs the pool's actions on worker processes, and turns what happens to them into the
//! pool's inputs. It decides nothing.

mod life;
pub mod process;
mod relay;

use std::{
    collections::HashMap,
    hash::{BuildHasher, RandomState},
    io,
    os::fd::OwnedFd,
    rc::Rc,
};

use tokio::{net::unix::pipe, sync::mpsc};

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
    leaders: HashMap<WorkerId, Leader>,
    inputs: (mpsc::Sender<Input>, mpsc::Receiver<Input>),
    chance: RandomState,
    oom: Rc<OomWatch>,
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
            leaders: HashMap::new(),
            inputs: mpsc::channel(INPUTS_MAX),
            chance: RandomState::new(),
            oom: Rc::default(),
        }
    }

    /// The next thing that happens to a worker.
    pub async fn next(&mut self) -> Input {
        let input = self.inputs.1.recv().await;
        if let Some(Input::Worker { worker, news: News::Ended { .. } }) = &input {
            self.leaders.remove(worker);
        }
        // We hold a sender ourselves, so the channel never closes.
        input.unwrap_or(Input::Timer)
    }

    /// Performs an action; what is to be told is not its business.
    pub fn perform(&mut self, action: &Action) {
        match action {
            Action::Spawn(worker) => self.spawn(*worker),
            Action::Ask(worker) => self.signal(*worker, Leader::ask),
            Action::Kill(worker) => self.signal(*worker, |leader, _| leader.signal(Signal::KILL)),
            Action::Abandon(worker) => drop(self.leaders.remove(worker)),
            Action::Tell(_) => {}
        }
    }

    fn signal(&self, worker: WorkerId, send: impl Fn(&Leader, Signal)) {
        if let Some(leader) = self.leaders.get(&worker) {
            send(leader, self.stop_signal);
        }
    }

    fn spawn(&mut self, worker: WorkerId) {
        let inputs = self.inputs.0.clone();
        let jitter = Jitter::from_random(self.chance.hash_one(worker));
        match self.start(worker) {
            Ok(life) => {
                self.leaders.insert(worker, life.process.leader());
                tokio::task::spawn_local(life.live(inputs, jitter));
            }
            Err(fault) => {
                let news = News::Ended { pid: None, end: Err(fault), jitter };
                tokio::task::spawn_local(async move {
                    let _ = inputs.send(Input::Worker { worker, news }).await;
                });
            }
        }
    }

    fn start(&self, worker: WorkerId) -> Result<Life, StartFault> {
        let mut launch = Launch::new(&self.program, self.open_files, &[]);
        launch.set_env(NUMBER_VARIABLE, &worker.slot.to_string());
        let pipe = || output_pipe().map_err(|error| StartFault::new(StartStep::Spawn, &error));
        let ((stdout, out), (stderr, err)) = (pipe()?, pipe()?);
        let process = Process::start(&launch, &[], out.into(), err.into())?;
        let memory_limited = self.program.limits.memory().is_some();
        let (outlet, oom) = (Rc::clone(&self.outlet), Rc::clone(&self.oom));
        Ok(Life { worker, process, stdout, stderr, outlet, memory_limited, oom })
    }
}

/// A pipe for a worker's output: our end does not block, the worker's does.
fn output_pipe() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = io::pipe()?;
    Ok((pipe::Receiver::from_owned_fd(read.into())?, write.into()))
}
