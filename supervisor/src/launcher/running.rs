//! A running command, from its start until everything that it left behind is reaped. The launcher
//! waits in one place for all that can happen: the end of the command, its output, a cancel, and a
//! request that the launcher itself end.

use std::{
    io,
    os::fd::AsFd,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, ppoll},
    sys::{signalfd::SignalFd, time::TimeSpec},
};
use pool::signal::Signal;
use process::{
    KillScope,
    proc::Stat,
    signals::signal_group,
    spawn::{CommandProcess, limits::CpuLimits},
    tree::{kill_descendants, names},
    wait::{Children, reap_any, reap_child},
};
use protocol::wire::CancelReason;
use worker::{JobSignal, ServeError, Worker};

use super::{
    EXIT_AFTER_CLOSE, LEFTOVER_OUTPUT_WAIT, REPORT_PID_AFTER,
    capture::Capture,
    config::Config,
    report::{CommandReport, Reason, Stop},
    signals::{Received, Signals},
};

/// A command that was started.
pub(super) struct Running<'a> {
    pub(super) process: CommandProcess,
    pub(super) worker: &'a mut Worker,
    pub(super) config: &'a Config,
    pub(super) signals: &'a Signals,
    /// Becomes readable when a child ends, orphans included.
    pub(super) sigchld: &'a SignalFd,
    pub(super) capture: &'a mut Capture,
}

/// How far the stop of the command has come.
#[derive(Clone, Copy)]
enum Stopping {
    No,
    /// The stop signal was sent; SIGKILL follows at this time.
    Asked {
        reason: Reason,
        kill_at: Instant,
    },
    Killed {
        reason: Reason,
    },
}

/// What happened until the first process of the command ended.
struct Watched {
    stopping: Stopping,
    /// Whether there may be more output.
    has_output: bool,
    /// Whether a signal asked the launcher to end.
    is_last: bool,
}

/// The result of a wait.
#[derive(Default)]
struct Ready {
    ended: bool,
    output: [bool; 2],
    jobs: bool,
    signals: bool,
}

impl Stopping {
    /// The time at which the command is killed.
    fn kill_at(self) -> Option<Instant> {
        match self {
            Self::Asked { kill_at, .. } => Some(kill_at),
            Self::No | Self::Killed { .. } => None,
        }
    }

    /// Postpones the kill by a time for which everything was suspended.
    fn postpone(&mut self, by: Duration) {
        if let Self::Asked { kill_at, .. } = self {
            *kill_at = kill_at.checked_add(by).unwrap_or(*kill_at);
        }
    }

    fn stop(self) -> Option<Stop> {
        match self {
            Self::No => None,
            Self::Asked { reason, .. } => Some(Stop { reason, killed: false }),
            Self::Killed { reason } => Some(Stop { reason, killed: true }),
        }
    }
}

impl Running<'_> {
    /// Waits for the end of the command, and ends what it left behind.
    pub(super) fn until_ended(mut self) -> Result<CommandReport, ServeError> {
        let began = Instant::now();
        let Watched { stopping, has_output, is_last } = match self.watch(began) {
            Ok(watched) => watched,
            Err(error) => {
                // The supervisor is gone, so nothing else would end the command.
                self.signal(Signal::KILL);
                reap_child(&self.process.pidfd)?;
                if self.config.scope == KillScope::Tree {
                    kill_descendants(self.sigchld)?;
                }
                return Err(error);
            }
        };
        let wall = began.elapsed();
        let pid = self.process.pid;
        if self.config.scope == KillScope::Group {
            // The number of the group belongs to the unreaped process.
            signal_group(pid, Signal::KILL);
        }
        // Read before the reaping, which reports only the sum of the CPU times of the command and
        // its children.
        let cpu_limits = CpuLimits::of(pid);
        let stat = cpu_limits.and_then(|_| Stat::read(pid));
        let exit = reap_child(&self.process.pidfd)?;
        let mut report = CommandReport::ended(pid, exit);
        report.wall = wall;
        report.own_cpu = stat.and_then(|stat| stat.cpu_time()).unwrap_or(report.cpu);
        report.cpu_limit = cpu_limits.and_then(|limits| limits.behind(exit.status));
        report.stopped = stopping.stop();
        let is_shutdown = |stop: Stop| stop.reason == Reason::Shutdown;
        report.is_last = is_last || report.stopped.is_some_and(is_shutdown);
        if is_last && report.is_ended_by(self.config.stop_signal) {
            // The signal to the launcher's group hit the command before it had a group of its own.
            let killed = report.stopped.is_some_and(|stop| stop.killed);
            report.stopped = Some(Stop { reason: Reason::Shutdown, killed });
        }
        if self.config.scope != KillScope::Tree {
            // Processes outside the scope may live on and hold the pipes.
            self.capture.take_rest(self.worker)?;
            self.capture.drop_pipes();
        } else if let Children::Running = reap_any(|_| {})? {
            self.end_leftovers(&mut report)?;
        } else if has_output {
            self.capture.take_rest(self.worker)?;
        }
        if !report.is_success() {
            report.says_out_of_memory = self.capture.says_out_of_memory();
        }
        Ok(report)
    }

    /// Waits until the first process of the command has ended.
    fn watch(&mut self, began: Instant) -> Result<Watched, ServeError> {
        let mut stopping = Stopping::No;
        let (mut is_reported, mut jobs_closed, mut has_output) = (false, false, false);
        loop {
            let report_at = (!is_reported).then(|| began + REPORT_PID_AFTER);
            let deadline = report_at.into_iter().chain(stopping.kill_at()).min();
            let ready = self.wait(deadline, Instant::now(), jobs_closed)?;
            // The clock is read before the signals: a suspension that the clock includes has been
            // announced by then.
            let now = Instant::now();
            let received = if ready.signals || !matches!(stopping, Stopping::No) {
                self.signals.receive()
            } else {
                Received::default()
            };
            stopping.postpone(received.suspended_for);
            for index in [0, 1] {
                if ready.output[index] {
                    has_output = true;
                    self.capture.take(index, self.worker)?;
                }
            }
            if ready.ended {
                return Ok(Watched { stopping, has_output, is_last: received.stop });
            }
            if ready.jobs {
                match self.worker.receive()? {
                    JobSignal::Nothing => {}
                    JobSignal::Cancel(CancelReason::Timeout) => {
                        self.ask(Reason::Timeout, &mut stopping);
                    }
                    // This reason replaces any other.
                    JobSignal::Cancel(CancelReason::Memory) => {
                        self.signal(Signal::KILL);
                        stopping = Stopping::Killed { reason: Reason::Memory };
                    }
                    JobSignal::Full => jobs_closed = true,
                    JobSignal::Gone => return Err(ServeError::Gone),
                }
            }
            if received.stop {
                self.ask(Reason::Shutdown, &mut stopping);
            }
            if let Stopping::Asked { reason, kill_at } = stopping
                && kill_at <= now
            {
                self.signal(Signal::KILL);
                stopping = Stopping::Killed { reason };
            }
            if !is_reported && began + REPORT_PID_AFTER <= now {
                is_reported = true;
                self.worker.started(self.process.pid.unsigned_abs())?;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        self.config.scope.signal(self.process.pid, signal);
    }

    /// Asks the command to end, within the grace period; if it was asked before, ends that period.
    fn ask(&self, reason: Reason, stopping: &mut Stopping) {
        let now = Instant::now();
        match stopping {
            Stopping::No => {
                self.config.scope.request_stop(self.process.pid, self.config.stop_signal);
                *stopping = Stopping::Asked { reason, kill_at: now + self.config.grace };
            }
            Stopping::Asked { kill_at, .. } => *kill_at = now,
            Stopping::Killed { .. } => {}
        }
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        now: Instant,
        jobs_closed: bool,
    ) -> Result<Ready, ServeError> {
        let mut polled = Vec::with_capacity(5);
        let mut add = |fd| polled.push(PollFd::new(fd, PollFlags::POLLIN));
        // The kernel checks in this order, so that output from before the end is seen together with
        // the end.
        add(self.process.pidfd.as_fd());
        add(self.signals.as_fd());
        let readers = self.capture.readers();
        readers.into_iter().flatten().for_each(&mut add);
        if !jobs_closed {
            add(self.worker.jobs());
        }
        if !poll_until(&mut polled, deadline, now)? {
            return Ok(Ready::default());
        }
        let is_ready = |at: usize| polled.get(at).and_then(PollFd::any).unwrap_or(false);
        let (pipes, jobs) = (readers.is_some(), if readers.is_some() { 4 } else { 2 });
        Ok(Ready {
            ended: is_ready(0),
            signals: is_ready(1),
            output: [pipes && is_ready(2), pipes && is_ready(3)],
            jobs: !jobs_closed && is_ready(jobs),
        })
    }

    /// Ends the processes that the command left behind. They may hold its output open for a moment,
    /// unless the command was stopped; then they are killed, and named in the report.
    fn end_leftovers(&mut self, report: &mut CommandReport) -> Result<(), ServeError> {
        self.capture.close_write_ends();
        let was_stopped = report.stopped.is_some();
        let patience = if was_stopped { Duration::ZERO } else { LEFTOVER_OUTPUT_WAIT };
        let mut until = Instant::now() + patience;
        let (mut ended, mut has_waited, mut is_closed) = ([false; 2], false, false);
        let all_gone = loop {
            for (index, ended) in ended.iter_mut().enumerate() {
                *ended = *ended || self.capture.take(index, self.worker)?;
            }
            let now = Instant::now();
            if ended == [true; 2] && !is_closed {
                // A process that closes its output only now may be about to end; one that had
                // closed it before is not.
                is_closed = true;
                until = if has_waited { until.min(now + EXIT_AFTER_CLOSE) } else { now };
            }
            if now >= until {
                break false;
            }
            self.wait_for_output(ended, until, now)?;
            has_waited = true;
            if let Children::None = reap_any(|_| {})? {
                break true;
            }
        };
        if !all_gone {
            report.leaked = ended != [true; 2] && !was_stopped;
            let left = names(kill_descendants(self.sigchld)?);
            report.left = if was_stopped { Vec::new() } else { left };
        }
        self.capture.take_rest(self.worker)?;
        self.capture.drop_pipes();
        Ok(())
    }

    /// Waits for output, the end of a stream, or the end of a child.
    fn wait_for_output(
        &self,
        ended: [bool; 2],
        until: Instant,
        now: Instant,
    ) -> Result<(), ServeError> {
        while let Ok(Some(_)) = self.sigchld.read_signal() {}
        let readers = self.capture.readers().into_iter().flatten().zip(ended);
        let open = readers.filter(|(_, ended)| !ended).map(|(fd, _)| fd);
        let open = open.chain([self.sigchld.as_fd()]);
        let mut polled: Vec<_> = open.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll_until(&mut polled, Some(until), now).map(|_| ())
    }
}

/// Waits until a descriptor is ready or the deadline has come. Returns whether one is ready.
fn poll_until(
    polled: &mut [PollFd<'_>],
    deadline: Option<Instant>,
    now: Instant,
) -> Result<bool, ServeError> {
    let timeout = deadline.map(|at| TimeSpec::from(at.saturating_duration_since(now)));
    match ppoll(polled, timeout, None) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
