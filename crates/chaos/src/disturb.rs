//! Harms a run while it goes on: signals to workers, pauses of the supervisor, and its end.

use std::{
    fs::{self, File},
    path::Path,
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

/// The signals that workers receive. (A Rust program survives the first SIGSEGV from outside, because
/// its runtime handles it.)
const SIGNALS: [Signal; 5] =
    [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGSEGV, Signal::SIGABRT, Signal::SIGSTOP];
/// The longest time that a run may take.
const RUN_MAX: Duration = Duration::from_secs(60);

/// How a run ended.
#[derive(Debug)]
pub(crate) struct Struck {
    /// What this program did to end it.
    pub(crate) by: Option<Ending>,
    /// The supervisor's exit; `None` if it did not exit in time and must be killed.
    pub(crate) end: Option<End>,
}

/// The harm that is done to one run.
pub(crate) struct Disturbance<'a> {
    random: &'a mut Random,
    tally: &'a mut Tally,
    disk: Option<&'a Disk>,
    input: &'a Path,
    ending: Option<(Duration, Ending)>,
    /// The chance per step, in percent, that a worker is harmed. Low values let long jobs finish.
    fury: u64,
    /// The stopped processes, and when each continues.
    stopped: Vec<(Instant, i32)>,
    /// The signals that were sent to workers.
    pub(crate) signals: Vec<(i32, Signal)>,
}

impl<'a> Disturbance<'a> {
    pub(crate) fn new(
        random: &'a mut Random,
        tally: &'a mut Tally,
        disk: Option<&'a Disk>,
        input: &'a Path,
        ending: Option<(Duration, Ending)>,
    ) -> Self {
        let fury = random.pick(&[1, 5, 12]).unwrap_or(1);
        Self { random, tally, disk, input, ending, fury, stopped: Vec::new(), signals: Vec::new() }
    }

    /// Harms the run until it ends.
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
            if begun.elapsed() > RUN_MAX {
                break None;
            }
            self.wake(Instant::now());
            match self.ending {
                Some((after, ending)) if begun.elapsed() >= after => {
                    self.ending = None;
                    by = self.strike(running, ending)?.then_some(ending).or(by);
                }
                // A run that is about to end is not harmed any more.
                _ if by.is_none() && goes_on() => self.harm(running),
                _ => {}
            }
            thread::sleep(self.pause(begun));
        };
        self.wake_all();
        Ok(Struck { by, end })
    }

    /// The time until the next step. It does not go past the time at which the run is to end.
    fn pause(&mut self, begun: Instant) -> Duration {
        let pause = Duration::from_millis(self.random.between(2, 30));
        let due = self.ending.map(|(after, _)| after.saturating_sub(begun.elapsed()));
        due.map_or(pause, |due| due.min(pause))
    }

    /// Ends the run in this way. Returns false if the processes to strike do not exist.
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
                // A stopped process does not receive the signal.
                self.wake_all();
                send(warden, Signal::SIGTERM);
            }
            (Ending::FillDisk, _) => self.disk.map_or(Ok(()), Disk::fill)?,
            (Ending::CutInput, _) => self.cut_input()?,
            (Ending::StayFull, _) if self.disk.is_some_and(Disk::is_full) => {}
            _ => return Ok(false),
        }
        self.tally.inject(ending.name());
        Ok(true)
    }

    /// Cuts off the input behind one of its lines.
    fn cut_input(&mut self) -> Result<(), Fault> {
        let input = fs::read(self.input)?;
        let ends = input.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
        let lengths: Vec<u64> = ends.map(|(at, _)| at as u64 + 1).collect();
        let length = self.random.pick(&lengths).unwrap_or(0);
        Ok(File::options().write(true).open(self.input)?.set_len(length)?)
    }

    /// Harms a worker or the supervisor, or does nothing, by chance.
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
