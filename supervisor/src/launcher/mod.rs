//! How does a job become a process of its own? A launcher is a worker like any other, built in,
//! that runs one command for each job it is sent: so the pool knows of one kind of worker only,
//! and commands are spawned on as many cores as there are slots, by a process so small that its
//! size costs nothing.
//!
//! It does one thing at a time and waits in one place. However a command ended is its result;
//! what it left behind is found, since orphans come to the launcher as their subreaper, and ends
//! before the next job begins.

mod capture;
mod leftovers;
pub mod orders;
pub mod report;
mod running;
mod signals;
mod stdio;
mod sys;

use std::{io, os::fd::OwnedFd, time::Duration};

use nix::sys::{prctl, signal::Signal, signalfd::SignalFd};
use worker::{Job, ServeError, Stream, Worker};

use self::{
    capture::Capture,
    orders::Orders,
    report::Report,
    running::Running,
    signals::Signals,
    stdio::Stdio,
    sys::{Command, Spawner},
};
use crate::template::{Filling, Words};
use pool::exit::{StartFault, StartStep};
use process::{procfs, program::Reach, sweep};

/// Runs the commands of the jobs that come, until there are no more or it is asked to end; the
/// exit status. `env` is that of the commands, and so are the working directory and whatever else
/// this process is.
#[must_use]
pub fn start(orders: &[u8], env: Vec<Vec<u8>>, wire: Vec<OwnedFd>) -> u8 {
    const FAILED: u8 = 125;
    let wire = <[OwnedFd; 3]>::try_from(wire).map_err(|_| ServeError::NotAWorker);
    match wire.and_then(|wire| Launcher::new(orders, env, wire)).and_then(Launcher::serve) {
        // That the supervisor is gone is not for a process to say that goes with it.
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
    orders: Orders,
    signals: Signals,
    /// That a child, also a foster child, has ended.
    children: SignalFd,
    spawner: Spawner,
    words: Words,
    stdio: Stdio,
    capture: Capture,
    floor: Floor,
    oom_kills: u64,
}

/// The peak of our own memory, that every command inherits as its own.
#[derive(Debug)]
struct Floor {
    kib: u64,
}

impl Launcher {
    fn new(orders: &[u8], env: Vec<Vec<u8>>, wire: [OwnedFd; 3]) -> Result<Self, ServeError> {
        let orders = Orders::read(orders)?;
        prctl::set_name(c"launcher").map_err(io::Error::from)?;
        // Not by a kill: what it runs is to end first.
        prctl::set_pdeathsig(Signal::SIGTERM).map_err(io::Error::from)?;
        prctl::set_child_subreaper(orders.reach == Reach::Tree).map_err(io::Error::from)?;
        let signals = Signals::open()?;
        let children = sweep::child_news()?;
        let spawner = Spawner::new(&orders, env)?;
        let capture = Capture::new(orders.capture.clone());
        let [jobs, replies, recorder] = wire;
        let worker = Worker::over_cancellable(jobs, replies, Some(recorder))?;
        Ok(Self {
            worker,
            orders,
            signals,
            children,
            spawner,
            words: Words::default(),
            stdio: Stdio::open()?,
            capture,
            floor: Floor::measure(),
            oom_kills: procfs::oom_kills(),
        })
    }

    fn serve(mut self) -> Result<(), ServeError> {
        while self.serve_one()? {}
        Ok(())
    }

    /// Whether to go on.
    fn serve_one(&mut self) -> Result<bool, ServeError> {
        let signals = &self.signals;
        let next = self.worker.next_job_unless(|jobs| signals.end_before(jobs))?;
        let Some(job) = next else { return Ok(false) };
        let (number, attempt) = (job.id, job.attempt);
        match prepare(&job, &self.orders, &mut self.words, &mut self.stdio) {
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
            self.floor.lower();
        }
        if !goes_on {
            self.worker.flush()?;
        }
        Ok(goes_on)
    }

    /// Runs the command that is prepared.
    fn launch(&mut self, number: u64, attempt: u32) -> Result<Report, ServeError> {
        let outputs = match self.capture.open() {
            Ok(outputs) => outputs,
            Err(error) => {
                return Ok(Report::not_started(StartFault::new(StartStep::Descriptors, &error)));
            }
        };
        let command = Command {
            words: &self.words,
            number,
            attempt,
            stdio: [self.stdio.input(), outputs[0], outputs[1]],
        };
        let child = match self.spawner.spawn(&command) {
            Ok(child) => child,
            Err(fault) => return Ok(Report::not_started(fault)),
        };
        let running = Running {
            child,
            worker: &mut self.worker,
            orders: &self.orders,
            signals: &self.signals,
            children: &self.children,
            capture: &mut self.capture,
        };
        let mut report = running.until_ended()?;
        report.peak_exact = report.peak_kib > self.floor.kib + Floor::DRIFT_KIB;
        if report.is_killed() {
            let kills = procfs::oom_kills();
            report.kernel_oom = kills > std::mem::replace(&mut self.oom_kills, kills);
        }
        Ok(report)
    }
}

/// Makes the command of a job, and its input.
fn prepare(
    job: &Job<'_>,
    orders: &Orders,
    words: &mut Words,
    stdio: &mut Stdio,
) -> Result<(), String> {
    let filling = Filling { payload: job.bytes(), number: job.id, slot: orders.slot };
    orders.template.fill(filling, words);
    if words.has_zero() {
        return Err("the input holds a zero byte, which no argument of a command can: \
                    give it to the command with --stdin"
            .into());
    }
    let input = orders.stdin.then(|| job.bytes());
    stdio.set_input(input).map_err(|error| format!("no room for the command's input: {error}"))
}

impl Floor {
    /// What we may have grown by since we looked.
    const DRIFT_KIB: u64 = 256;

    fn measure() -> Self {
        let own = procfs::memory(std::process::id().cast_signed());
        Self { kib: own.map_or(0, |[_, peak]| peak / 1024) }
    }

    /// After a big output: the kernel is to forget our peak.
    fn lower(&mut self) {
        // proc_pid_clear_refs(5). Where it cannot be, the floor only lies higher.
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        *self = Self::measure();
    }
}

/// How soon a job is told to be a process of its own: shorter ones are not worth it.
const TOLD_AFTER: Duration = Duration::from_millis(10);
/// How long a process that a command left behind may keep its output open before the outcome
/// waits no longer.
const DRAIN: Duration = Duration::from_millis(100);
/// From closing its output to its end a process takes no longer than this, mostly.
const CLOSING: Duration = Duration::from_millis(20);

/// The streams of a command, with their place among its descriptors.
const STREAMS: [(usize, Stream); 2] = [(1, Stream::Stdout), (2, Stream::Stderr)];
