//! The launcher: a built-in worker that runs one command for each job. So the pool knows only one
//! kind of worker, and commands start on as many cores as there are slots, from a process so small
//! that cloning it costs little.
//!
//! A launcher does one thing at a time and waits in one place. However a command ended is its
//! result. The launcher is a subreaper, so that orphans of the command are reparented to it, and it
//! ends them before the next job begins.

mod capture;
pub mod config;
pub mod report;
mod running;
mod signals;
mod stdio;

use std::{
    io,
    os::fd::{AsFd, OwnedFd},
    time::Duration,
};

use nix::sys::{prctl, signal::Signal, signalfd::SignalFd};
use pool::exit::{StartFault, StartStep};
use process::{KillScope, proc, spawn::CommandSpawner, wait::sigchld_fd};
use worker::{Job, ServeError, Stream, Worker};

use self::{
    capture::Capture, config::Config, report::CommandReport, running::Running, signals::Signals,
    stdio::Stdin,
};
use crate::template::{Filling, Words};

/// Time after which a launcher reports the process of a job; shorter jobs are not worth it.
const REPORT_PID_AFTER: Duration = Duration::from_millis(10);
/// Time for which a process that a command left behind may keep the output open before the launcher
/// kills it.
const LEFTOVER_OUTPUT_WAIT: Duration = Duration::from_millis(100);
/// Time that a process usually takes from closing its output to its end, at most.
const EXIT_AFTER_CLOSE: Duration = Duration::from_millis(20);

/// The output streams of a command, with their descriptors.
const STREAMS: [(usize, Stream); 2] = [(1, Stream::Stdout), (2, Stream::Stderr)];

/// Runs the commands of jobs until there are no more or a signal asks the launcher to end; returns
/// the exit status. Commands get the environment `env`, and the working directory and everything
/// else from this process. `wire` is the pipes for jobs and replies, and the recorder if there is
/// one.
#[must_use]
pub fn start(config: &[u8], env: Vec<Vec<u8>>, wire: Vec<OwnedFd>) -> u8 {
    const FAILED: u8 = 125;
    match Launcher::new(config, env, wire).and_then(Launcher::serve) {
        // The launcher ends with the supervisor, and need not report that.
        Ok(()) | Err(ServeError::Gone) => 0,
        Err(error) => {
            eprintln!("launcher: {error}");
            FAILED
        }
    }
}

/// The launcher of one slot.
struct Launcher {
    worker: Worker,
    config: Config,
    signals: Signals,
    /// Becomes readable when a child ends, orphans included.
    sigchld: SignalFd,
    spawner: CommandSpawner,
    words: Words,
    stdin: Stdin,
    capture: Capture,
    inherited: InheritedPeak,
    oom_kills: u64,
}

/// The launcher's own peak of resident memory, which each command inherits as its own.
#[derive(Debug)]
struct InheritedPeak {
    kib: u64,
}

impl Launcher {
    fn new(config: &[u8], env: Vec<Vec<u8>>, wire: Vec<OwnedFd>) -> Result<Self, ServeError> {
        let mut wire = wire.into_iter();
        let (Some(jobs), Some(replies), recorder) = (wire.next(), wire.next(), wire.next()) else {
            return Err(ServeError::NotAWorker);
        };
        let config = Config::from_bytes(config)?;
        prctl::set_name(c"launcher").map_err(io::Error::from)?;
        // Not SIGKILL: the launcher has to end its command first.
        prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)?;
        prctl::set_child_subreaper(config.scope == KillScope::Tree).map_err(io::Error::from)?;
        let signals = Signals::open()?;
        let sigchld = sigchld_fd()?;
        let spawner = spawner(&config, env)?;
        let capture = Capture::new(config.capture.clone());
        let worker = Worker::over_cancellable(jobs, replies, recorder)?;
        Ok(Self {
            worker,
            config,
            signals,
            sigchld,
            spawner,
            words: Words::default(),
            stdin: Stdin::open()?,
            capture,
            inherited: InheritedPeak::measure(),
            oom_kills: proc::oom_kills(),
        })
    }

    fn serve(mut self) -> Result<(), ServeError> {
        while self.serve_one()? {}
        Ok(())
    }

    /// Runs the next job. Returns whether to go on.
    fn serve_one(&mut self) -> Result<bool, ServeError> {
        let signals = &self.signals;
        let next = self.worker.next_job_unless(|jobs| signals.stop_before(jobs))?;
        let Some(job) = next else { return Ok(false) };
        let (number, attempt) = (job.id, job.attempt);
        match prepare(&job, &self.config, &mut self.words, &mut self.stdin) {
            Ok(()) => {}
            Err(message) => {
                self.worker.fail(&message)?;
                return Ok(true);
            }
        }
        self.capture.begin(number, attempt, job.bytes());
        drop(job);
        let report = self.launch(number, attempt)?;
        let goes_on = !report.is_last;
        let reply = self.capture.finish(report)?;
        self.worker.reply(Ok(reply))?;
        if self.capture.shrink() {
            self.inherited.reset();
        }
        if !goes_on {
            self.worker.flush()?;
        }
        Ok(goes_on)
    }

    /// Runs the prepared command.
    fn launch(&mut self, number: u64, attempt: u32) -> Result<CommandReport, ServeError> {
        let [stdout, stderr] = match self.capture.open() {
            Ok(outputs) => outputs,
            Err(error) => {
                return Ok(CommandReport::not_started(StartFault::new(
                    StartStep::Descriptors,
                    &error,
                )));
            }
        };
        let (numbers, stdio) = ([number, attempt.into()], [self.stdin.as_fd(), stdout, stderr]);
        let process = match self.spawner.spawn(self.words.c_strings(), numbers, stdio) {
            Ok(process) => process,
            Err(fault) => return Ok(CommandReport::not_started(fault)),
        };
        let running = Running {
            process,
            worker: &mut self.worker,
            config: &self.config,
            signals: &self.signals,
            sigchld: &self.sigchld,
            capture: &mut self.capture,
        };
        let mut report = running.until_ended()?;
        report.peak_exact = report.peak_kib > self.inherited.kib + InheritedPeak::DRIFT_KIB;
        if report.is_killed() {
            let kills = proc::oom_kills();
            report.kernel_oom = kills > std::mem::replace(&mut self.oom_kills, kills);
        }
        Ok(report)
    }
}

/// Prepares the spawner of commands, whose environment tells them their slot, job and attempt.
fn spawner(config: &Config, mut env: Vec<Vec<u8>>) -> io::Result<CommandSpawner> {
    const OWN: [&[u8]; 5] = [
        b"SUPERVISOR_WORKER=",
        b"SUPERVISOR_JOB=",
        b"SUPERVISOR_ATTEMPT=",
        b"SUPERVISOR_SLOT=",
        b"SUPERVISOR_WORKERS=",
    ];
    env.retain(|pair| !OWN.iter().any(|name| pair.starts_with(name)));
    env.push(format!("SUPERVISOR_SLOT={}", config.slot).into_bytes());
    env.push(format!("SUPERVISOR_WORKERS={}", config.workers).into_bytes());
    let numbers = ["SUPERVISOR_JOB", "SUPERVISOR_ATTEMPT"];
    CommandSpawner::new(config.limits.clone(), &env, numbers)
}

/// Prepares the arguments and the stdin of a job's command.
fn prepare(
    job: &Job<'_>,
    config: &Config,
    words: &mut Words,
    stdin: &mut Stdin,
) -> Result<(), String> {
    let filling = Filling { payload: job.bytes(), number: job.id, slot: config.slot };
    config.template.fill(filling, words);
    if words.has_zero() {
        return Err("the input holds a zero byte, which no argument of a command can: \
                    give it to the command with --stdin"
            .into());
    }
    let payload = config.stdin.then(|| job.bytes());
    stdin.set(payload).map_err(|error| format!("no room for the command's input: {error}"))
}

impl InheritedPeak {
    /// Growth of the launcher since the last measurement that is allowed for, in KiB.
    const DRIFT_KIB: u64 = 256;

    fn measure() -> Self {
        let own = proc::memory(std::process::id().cast_signed());
        Self { kib: own.map_or(0, |[_, peak]| peak / 1024) }
    }

    /// Makes the kernel forget the peak, after large output was freed.
    fn reset(&mut self) {
        // proc_pid_clear_refs(5). Without permission the inherited peak stays higher.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        *self = Self::measure();
    }
}
