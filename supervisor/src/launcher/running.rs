//! What happens while a command runs, and when it has ended? One wait for everything: its end,
//! its output, a cancel, and being asked to end ourselves.

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
use protocol::wire::CancelReason;
use worker::{Heard, ServeError, Worker};

use super::{
    CLOSING, DRAIN, TOLD_AFTER,
    capture::Capture,
    leftovers,
    orders::Orders,
    report::{Report, Why},
    signals::{Signals, Told},
    sys::{self, Child},
};
use pool::{limits::Resource, signal::Signal};
use process::{
    child, procfs,
    program::Reach,
    sweep::{self, Reaped},
};

/// A command from its start to the reaping of all it left.
pub(super) struct Running<'a> {
    pub(super) child: Child,
    pub(super) worker: &'a mut Worker,
    pub(super) orders: &'a Orders,
    pub(super) signals: &'a Signals,
    pub(super) children: &'a SignalFd,
    pub(super) capture: &'a mut Capture,
}

/// What was asked of it.
#[derive(Clone, Copy)]
struct Asked {
    why: Why,
    /// When it is killed.
    until: Instant,
    killed: bool,
}

/// How it went until its first process had ended.
struct Watched {
    asked: Option<Asked>,
    /// Whether there may be more of its output.
    has_output: bool,
    /// Whether we are asked to end.
    is_last: bool,
}

/// What a wait brought.
#[derive(Default)]
struct Ready {
    ended: bool,
    output: [bool; 2],
    jobs: bool,
    signals: bool,
}

impl Running<'_> {
    /// Waits for its end and for what it left; nothing of it is there any more afterwards.
    pub(super) fn until_ended(mut self) -> Result<Report, ServeError> {
        let began = Instant::now();
        let watched = self.watch(began);
        let Watched { asked, has_output, is_last } = match watched {
            Ok(watched) => watched,
            Err(error) => {
                // Without a supervisor nobody wants it, or would end it.
                self.signal(Signal::KILL);
                sys::reap(self.child.pid)?;
                if self.orders.reach == Reach::Tree {
                    leftovers::end(self.children)?;
                }
                return Err(error);
            }
        };
        let wall = began.elapsed();
        let limits_cpu = self.orders.limits.get(Resource::Cpu).is_some();
        if self.orders.reach == Reach::Group {
            // Unreaped it pins the number of its group.
            child::signal_group(self.child.pid, Signal::KILL);
        }
        // Before it is reaped: afterwards its own part cannot be told from its children's.
        let own_cpu = limits_cpu.then(|| procfs::own_cpu(self.child.pid)).flatten();
        let mut report = sys::reap(self.child.pid)?;
        report.wall = wall;
        report.own_cpu = own_cpu.unwrap_or(report.cpu);
        report.asked = asked.map(|asked| asked.why);
        report.killed = asked.is_some_and(|asked| asked.killed);
        report.is_last = is_last || report.asked == Some(Why::Stop);
        if is_last && report.is_ended_by(self.orders.stop_signal()) {
            // What asked us to end has hit it too, before it had a group of its own.
            report.asked = Some(Why::Stop);
        }
        if self.orders.reach != Reach::Tree {
            // What our reach does not go to may live on, and hold them.
            self.capture.take_rest(self.worker)?;
            self.capture.forget_pipes();
        } else if let Reaped::Living = sweep::reap_any(|_| {})? {
            self.end_leftovers(&mut report)?;
        } else if has_output {
            self.capture.take_rest(self.worker)?;
        }
        if !report.is_success() {
            report.says_out_of_memory = self.capture.says_out_of_memory();
        }
        Ok(report)
    }

    /// Until its first process has ended.
    fn watch(&mut self, began: Instant) -> Result<Watched, ServeError> {
        let (mut asked, mut told, mut deaf, mut has_output) = (None, false, false, false);
        loop {
            let now = Instant::now();
            let ready = self.wait(deadline(began, told, asked.as_ref()), now, deaf)?;
            // First the clock: for how long we were stopped before it was read, is told by now.
            let now = Instant::now();
            let heard = match &mut asked {
                Some(asked) => {
                    let heard = self.signals.hear();
                    asked.until = asked.until.checked_add(heard.stopped).unwrap_or(asked.until);
                    heard
                }
                None if ready.signals => self.signals.hear(),
                None => Told::default(),
            };
            for index in [0, 1] {
                if ready.output[index] {
                    has_output = true;
                    self.capture.take(index, self.worker)?;
                }
            }
            if ready.ended {
                return Ok(Watched { asked, has_output, is_last: heard.asks_to_end });
            }
            if ready.jobs {
                match self.worker.hear()? {
                    Heard::Nothing => {}
                    Heard::Cancel(CancelReason::Timeout) => self.ask(Why::Timeout, &mut asked),
                    Heard::Cancel(CancelReason::Memory) => self.end_at_once(&mut asked),
                    Heard::Deaf => deaf = true,
                    Heard::Gone => return Err(ServeError::Gone),
                }
            }
            if heard.asks_to_end {
                self.ask(Why::Stop, &mut asked);
            }
            if let Some(asked) = asked.as_mut().filter(|a| !a.killed && a.until <= now) {
                asked.killed = true;
                self.signal(Signal::KILL);
            }
            if !told && began + TOLD_AFTER <= now {
                told = true;
                self.worker.started(self.child.pid.unsigned_abs())?;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        match self.orders.reach {
            Reach::Tree | Reach::Group => child::signal_group(self.child.pid, signal),
            Reach::Leader => child::signal_child(self.child.pid, signal),
        }
    }

    /// It holds too much memory: whatever else was asked of it, that is why it ends.
    fn end_at_once(&self, asked: &mut Option<Asked>) {
        self.signal(Signal::KILL);
        *asked = Some(Asked { why: Why::Memory, until: Instant::now(), killed: true });
    }

    /// Asks its group to end, or a second time kills it.
    fn ask(&self, why: Why, asked: &mut Option<Asked>) {
        let now = Instant::now();
        match asked {
            None => {
                self.signal(self.orders.stop_signal());
                // A stopped process hears nothing.
                self.signal(Signal::CONT);
                *asked = Some(Asked { why, until: now + self.orders.grace, killed: false });
            }
            Some(asked) => asked.until = now,
        }
    }

    fn wait(
        &self,
        deadline: Option<Instant>,
        now: Instant,
        deaf: bool,
    ) -> Result<Ready, ServeError> {
        let mut watched = Vec::with_capacity(5);
        let mut watch = |fd| watched.push(PollFd::new(fd, PollFlags::POLLIN));
        // First: what it wrote before it ended is then surely seen in the same look.
        watch(self.child.pidfd.as_fd());
        watch(self.signals.as_fd());
        let readers = self.capture.readers();
        readers.into_iter().flatten().for_each(&mut watch);
        if !deaf {
            watch(self.worker.jobs());
        }
        if !poll_until(&mut watched, deadline, now)? {
            return Ok(Ready::default());
        }
        let is_ready = |at: usize| watched.get(at).and_then(PollFd::any).unwrap_or(false);
        let (pipes, jobs) = (readers.is_some(), if readers.is_some() { 4 } else { 2 });
        Ok(Ready {
            ended: is_ready(0),
            signals: is_ready(1),
            output: [pipes && is_ready(2), pipes && is_ready(3)],
            jobs: !deaf && is_ready(jobs),
        })
    }

    /// Something of it is still there. What holds its output may do so for a moment, unless it
    /// was to end anyway; then all of it is killed, and named where it was left behind.
    fn end_leftovers(&mut self, report: &mut Report) -> Result<(), ServeError> {
        self.capture.close_far_ends();
        let was_asked = report.asked.is_some();
        let mut until = Instant::now() + if was_asked { Duration::ZERO } else { DRAIN };
        let (mut ended, mut has_waited, mut is_closing) = ([false; 2], false, false);
        let gone = loop {
            for (index, ended) in ended.iter_mut().enumerate() {
                *ended = *ended || self.capture.take(index, self.worker)?;
            }
            let now = Instant::now();
            if ended == [true; 2] && !is_closing {
                // Whoever closes it now may be about to end; who had closed it is not.
                is_closing = true;
                until = if has_waited { until.min(now + CLOSING) } else { now };
            }
            if now >= until {
                break false;
            }
            self.wait_for_output(ended, until, now)?;
            has_waited = true;
            if let Reaped::None = sweep::reap_any(|_| {})? {
                break true;
            }
        };
        if !gone {
            report.leaked = ended != [true; 2] && !was_asked;
            let left = leftovers::end(self.children)?;
            report.left = if was_asked { Vec::new() } else { left };
        }
        self.capture.take_rest(self.worker)?;
        self.capture.forget_pipes();
        Ok(())
    }

    /// Until there is output, the end of it, or the end of some process.
    fn wait_for_output(
        &self,
        ended: [bool; 2],
        until: Instant,
        now: Instant,
    ) -> Result<(), ServeError> {
        while let Ok(Some(_)) = self.children.read_signal() {}
        let readers = self.capture.readers().into_iter().flatten().zip(ended);
        let open = readers.filter(|(_, ended)| !ended).map(|(fd, _)| fd);
        let open = open.chain([self.children.as_fd()]);
        let mut watched: Vec<_> = open.map(|fd| PollFd::new(fd, PollFlags::POLLIN)).collect();
        poll_until(&mut watched, Some(until), now).map(|_| ())
    }
}

/// When something is due that nobody brings.
fn deadline(began: Instant, told: bool, asked: Option<&Asked>) -> Option<Instant> {
    let tell = (!told).then(|| began + TOLD_AFTER);
    let kill = asked.filter(|asked| !asked.killed).map(|asked| asked.until);
    tell.into_iter().chain(kill).min()
}

/// Whether something came before the deadline.
pub(super) fn poll_until(
    watched: &mut [PollFd<'_>],
    deadline: Option<Instant>,
    now: Instant,
) -> Result<bool, ServeError> {
    let patience = deadline.map(|at| TimeSpec::from(at.saturating_duration_since(now)));
    match ppoll(watched, patience, None) {
        Ok(ready) => Ok(ready > 0),
        Err(Errno::EINTR) => Ok(false),
        Err(error) => Err(io::Error::from(error).into()),
    }
}
