//! What is done to a run while it goes on.

use std::{
    thread,
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    Fault,
    disk::Disk,
    plan::Ending,
    procfs,
    random::Random,
    running::{End, Running, send},
    tally::Tally,
};

/// What workers get. (The first SIGSEGV from outside a program in Rust takes for its own, and lives.)
const SIGNALS: [Signal; 5] =
    [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGSTOP];
/// No run takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

/// What ended a run.
#[derive(Debug)]
pub(crate) struct Struck {
    /// What we did to end it.
    pub(crate) by: Option<Ending>,
    /// How it ended; `None` where it did not, and had to be killed.
    pub(crate) end: Option<End>,
}

/// Harm to one run.
pub(crate) struct Disturbance<'a> {
    random: &'a mut Random,
    tally: &'a mut Tally,
    disk: Option<&'a Disk>,
    ending: Option<(Duration, Ending)>,
    /// At how many of a hundred looks a worker is harmed: jobs that take long want to be let be.
    fury: u64,
    /// Who was stopped, until when.
    stopped: Vec<(Instant, i32)>,
    /// What was sent to workers.
    pub(crate) signals: Vec<(i32, Signal)>,
}

impl<'a> Disturbance<'a> {
    pub(crate) fn new(
        random: &'a mut Random,
        tally: &'a mut Tally,
        disk: Option<&'a Disk>,
        ending: Option<(Duration, Ending)>,
    ) -> Self {
        let fury = random.pick(&[1, 5, 12]).unwrap_or(1);
        Self { random, tally, disk, ending, fury, stopped: Vec::new(), signals: Vec::new() }
    }

    /// Until the run has ended.
    pub(crate) fn run(
        &mut self,
        running: &mut Running,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Struck, Fault> {
        let begun = Instant::now();
        let mut by = None;
        let end = loop {
            if let Some(end) = running.end()? {
                break Some(end);
            }
            if begun.elapsed() > PATIENCE {
                break None;
            }
            self.wake(Instant::now());
            match self.ending {
                Some((after, ending)) if begun.elapsed() >= after => {
                    self.ending = None;
                    by = self.strike(running, ending)?.then_some(ending).or(by);
                }
                // Nothing more befalls one that is about to end.
                _ if by.is_none() && goes_on() => self.harm(running),
                _ => {}
            }
            thread::sleep(self.pause(begun));
        };
        self.wake_all();
        Ok(Struck { by, end })
    }

    /// Until the next look: not beyond the instant at which the run is to be ended.
    fn pause(&mut self, begun: Instant) -> Duration {
        let pause = Duration::from_millis(self.random.between(2, 30));
        let due = self.ending.map(|(after, _)| after.saturating_sub(begun.elapsed()));
        due.map_or(pause, |due| due.min(pause))
    }

    /// Whether there was somebody to be struck.
    fn strike(&mut self, running: &mut Running, ending: Ending) -> Result<bool, Fault> {
        let (warden, supervisor) = (running.warden(), running.supervisor());
        let supervisor = || supervisor.filter(|pid| procfs::is_child(*pid, warden));
        match (ending, supervisor()) {
            (Ending::KillSupervisor, Some(supervisor)) => send(supervisor, Signal::SIGKILL),
            (Ending::KillBoth, Some(supervisor)) => {
                send(warden, Signal::SIGKILL);
                send(supervisor, Signal::SIGKILL);
            }
            (Ending::KillWarden, Some(_)) => send(warden, Signal::SIGKILL),
            (Ending::Terminate, Some(_)) => {
                // One that is stopped hears nothing.
                self.wake_all();
                send(warden, Signal::SIGTERM);
            }
            (Ending::FillDisk, _) => self.disk.map_or(Ok(()), Disk::fill)?,
            (Ending::StayFull, _) if self.disk.is_some_and(Disk::is_full) => {}
            _ => return Ok(false),
        }
        self.tally.inject(ending.name());
        Ok(true)
    }

    /// Something, or nothing.
    fn harm(&mut self, running: &mut Running) {
        match self.random.between(0, 99) {
            lot if lot < self.fury => {
                let workers = running.workers();
                let Some(worker) = self.random.pick(&workers) else { return };
                let Some(signal) = self.random.pick(&SIGNALS) else { return };
                self.signals.push((worker, signal));
                send(worker, signal);
                if signal == Signal::SIGSTOP {
                    let long = self.random.chance(25);
                    let (least, most) = if long { (1200, 2500) } else { (2, 300) };
                    self.wakes(worker, least, most);
                }
            }
            98.. => {
                let Some(supervisor) = running.supervisor() else { return };
                self.tally.inject("supervisor: stopped for a while");
                send(supervisor, Signal::SIGSTOP);
                self.wakes(supervisor, 5, 400);
            }
            _ => {}
        }
    }

    fn wakes(&mut self, pid: i32, least: u64, most: u64) {
        let after = Duration::from_millis(self.random.between(least, most));
        self.stopped.push((Instant::now() + after, pid));
    }

    fn wake(&mut self, now: Instant) {
        let is_due = |(until, pid): &(Instant, i32)| {
            let is_due = *until <= now;
            if is_due {
                send(*pid, Signal::SIGCONT);
            }
            !is_due
        };
        self.stopped.retain(is_due);
    }

    fn wake_all(&mut self) {
        self.stopped.drain(..).for_each(|(_, pid)| send(pid, Signal::SIGCONT));
    }
}
