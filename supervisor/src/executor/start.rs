//! Starts the processes of workers.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    rc::Rc,
};

use protocol::wire;
use tokio::net::unix::pipe;

use super::{
    connection::{Connection, Line, read_buffer},
    event_queue::NewsSender,
    worker_task::WorkerTask,
};
use crate::{
    launcher::config::Config,
    settings::{CommandSettings, Jobs, Settings, Wire},
    sink::Outlet,
};
use pool::{
    Jitter,
    event::WorkerId,
    exit::{StartFault, StartStep},
};
use process::Process;
use process::{
    KillScope, Program,
    descriptors::{OpenFiles, output_pipe},
    proc::OomWatch,
    spawn::SpawnSpec,
    tree::Orphans,
};

/// The environment variable that holds the number of the worker's slot.
const SLOT_VARIABLE: &str = "SUPERVISOR_WORKER";
/// The descriptor numbers in a worker that speaks the protocol: jobs, replies, recorder.
const CONNECTION_FDS: [i32; 3] = [3, 4, 5];
/// The descriptor number in a line worker of the pipe of jobs; its replies are its stdout.
const LINES_FDS: [i32; 1] = [0];

/// What the workers of a run have in common.
#[derive(Debug)]
pub(super) struct Starter {
    program: Program,
    open_files: OpenFiles,
    /// Number of slots when the run began.
    workers: u32,
    kill_scope: KillScope,
    /// `None` if the workers take no jobs.
    pub(super) line: Option<Line>,
    recycle_bytes: Option<u64>,
    /// What launchers run; `None` if the workers are the user's program.
    commands: Option<CommandSettings>,
    outlet: Rc<Outlet>,
    oom: Rc<OomWatch>,
    orphans: Option<Rc<Orphans>>,
}

impl Starter {
    pub(super) fn new(
        settings: &Settings,
        open_files: OpenFiles,
        outlet: Rc<Outlet>,
        orphans: Option<Rc<Orphans>>,
    ) -> Self {
        let jobs = settings.jobs.as_ref();
        Self {
            program: settings.program.clone(),
            open_files,
            workers: settings.workers.get(),
            kill_scope: settings.kill_scope,
            line: jobs.map(|jobs| Line {
                wire: jobs.wire,
                frame_bytes_max: jobs.frame_bytes_max,
                is_launcher: jobs.commands.is_some(),
                buffer: read_buffer(),
            }),
            recycle_bytes: jobs.and_then(Jobs::recycle_bytes),
            commands: jobs.and_then(|jobs| jobs.commands.clone()),
            outlet,
            oom: Rc::default(),
            orphans,
        }
    }

    /// Whether the workers are launchers, which run one command for each job.
    pub(super) fn starts_launchers(&self) -> bool {
        self.commands.is_some()
    }

    /// Starts the process of a worker. The caller spawns the task.
    ///
    /// # Errors
    /// No process or no descriptors are left.
    pub(super) fn start(
        &self,
        worker: WorkerId,
        news: Rc<NewsSender>,
        jitter: Jitter,
    ) -> Result<WorkerTask, StartFault> {
        let spawn_fault = |error: io::Error| StartFault::new(StartStep::Spawn, &error);
        let open = |line| Connection::open(worker, line);
        let (connection, far) =
            self.line.as_ref().map(open).transpose().map_err(spawn_fault)?.unzip();
        let (stdout, worker_stdout) = open_output().map_err(spawn_fault)?;
        let (stderr, worker_stderr) = open_output().map_err(spawn_fault)?;
        let wire = self.line.as_ref().map(|line| line.wire);
        let (passed, replies) = far.map_or_else(Default::default, |far| match wire {
            Some(Wire::Lines) => (vec![far.jobs], Some(far.replies)),
            _ => ([far.jobs, far.replies].into_iter().chain(far.recorder).collect(), None),
        });
        let launch = self.launch(worker, passed.len()).map_err(spawn_fault)?;
        let passed: Vec<BorrowedFd<'_>> = passed.iter().map(AsFd::as_fd).collect();
        // The stdout of a line worker is its replies, so nothing else is read from it.
        let stdout_end = replies.unwrap_or(worker_stdout).into();
        let stderr_end = worker_stderr.into();
        let process = Process::start(&launch, &passed, stdout_end, stderr_end, self.kill_scope)?;
        if let (Some(orphans), Some(pid)) = (&self.orphans, process.pid()) {
            orphans.add_worker(pid);
        }
        let connection = connection.map(Rc::new);
        if let Some(connection) = &connection {
            // The hello, if there is one.
            connection.flush();
        }
        Ok(WorkerTask {
            worker,
            process,
            stdout,
            stderr,
            connection,
            outlet: Rc::clone(&self.outlet),
            memory_limited: self.program.limits.memory().is_some(),
            recycle_bytes: self.recycle_bytes,
            oom: Rc::clone(&self.oom),
            news,
            orphans: self.orphans.clone(),
            jitter,
        })
    }

    /// The specification of a worker that is given the first `passed` descriptors of a connection.
    fn launch(&self, worker: WorkerId, passed: usize) -> io::Result<SpawnSpec> {
        let wire = self.line.as_ref().map(|line| line.wire);
        let fds = match wire {
            Some(Wire::Frames) => &CONNECTION_FDS[..passed],
            Some(Wire::Lines) => &LINES_FDS[..],
            None => &[],
        };
        let mut launch = SpawnSpec::new(&self.program, self.open_files, fds);
        launch.set_env(SLOT_VARIABLE, &worker.slot.to_string());
        if let Some(commands) = &self.commands {
            let limits = launch.take_limits();
            let config = Config::new(commands, limits, worker.slot, self.workers);
            launch.make_built_in(config.to_bytes().map_err(io::Error::other)?);
        } else if let (Some(Wire::Frames), [jobs, replies, recorder @ ..]) = (wire, fds) {
            let recorder = recorder.first().map_or("-".into(), i32::to_string);
            launch.announce(wire::VARIABLE, &format!(":{jobs}:{replies}:{recorder}"));
        }
        if let Some(orphans) = &self.orphans {
            let (name, value) = orphans.mark(worker);
            launch.set_env(name, &value);
        }
        Ok(launch)
    }
}

/// A pipe for a worker's output. The supervisor's end does not block, the worker's end does.
fn open_output() -> io::Result<(pipe::Receiver, OwnedFd)> {
    let (read, write) = output_pipe()?;
    Ok((pipe::Receiver::from_owned_fd(read.into())?, write.into()))
}
