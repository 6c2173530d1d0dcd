//! Random inputs: time passes, jobs arrive, users make requests, and news arrives, sometimes too
//! late.

use std::time::Duration;

use super::world::{Record, World};
use crate::{
    decide::{Input, Jitter, News, Remains, Tick, Unsendable},
    event::{ShutdownReason, WorkerId},
    exit::{ProcessEnd, ProtocolFault, StartFault, StartStep},
    job::{Accepted, Job, Payload},
    signal::Signal,
};

impl World {
    pub(super) fn chance_input(&mut self) -> Input {
        let pace = u64::try_from(self.pace.as_micros()).unwrap();
        let mut passes = Duration::from_micros(self.chance.below(pace));
        if self.chance.one_in(if self.nature.jobs { 30 } else { 6 }) {
            passes = Duration::from_millis(self.chance.below(40_000));
        }
        let due = self.pool.next_deadline().filter(|deadline| *deadline <= self.now + passes);
        self.now += passes;
        match due {
            // Another input may come before the timer.
            Some(_) if self.chance.one_in(8) => {}
            Some(deadline) => {
                self.now = deadline;
                return Input::Timer;
            }
            None => {}
        }
        let rarely = if self.nature.jobs { 40 } else { 8 };
        match self.chance.below(40) {
            0 => self.roll(),
            20 => self.start_some(),
            21..=22 => self.start_examined().unwrap_or(Input::Timer),
            1 if self.chance.one_in(rarely) => Input::Shutdown(self.wish()),
            1 if self.chance.one_in(rarely) => Input::Shutdown(ShutdownReason::OutputClosed),
            1 if self.nature.jobs && self.chance.one_in(rarely) => {
                Input::Shutdown(ShutdownReason::SourceFailed)
            }
            2..=3 => self.stale_news(),
            4 => Input::Timer,
            10..=14 => self.samples().unwrap_or(Input::Timer),
            15 if self.nature.jobs && !self.jobs.is_empty() => self.cancel_some(),
            17 if self.chance.one_in(4) => self.kill_some(),
            18 if self.nature.jobs && self.chance.one_in(3) => self.pause_or_resume(),
            19 if self.chance.one_in(4) => self.restart_some(),
            16 if self.nature.jobs && self.chance.one_in(rarely) => self.scale_by_chance(),
            5..=9 if self.nature.jobs => self.job_input(),
            _ => self.news().unwrap_or(Input::Timer),
        }
    }

    pub(super) fn wish(&mut self) -> ShutdownReason {
        ShutdownReason::Signal(self.chance.pick(&[Signal::INT, Signal::TERM]))
    }

    pub(super) fn job_input(&mut self) -> Input {
        if self.chance.one_in(15) {
            self.hold = !self.hold;
            return Input::Hold(self.hold);
        }
        if self.source_ended {
            return self.news().unwrap_or(Input::Timer);
        }
        if self.to_come == 0 {
            // Some sources never end.
            if self.chance.one_in(3) {
                self.source_ended = true;
                return Input::SourceEnded;
            }
            return self.news().unwrap_or(Input::Timer);
        }
        self.position += 1;
        if self.chance.one_in(20) {
            self.to_come -= 1;
            self.record();
            let (id, place) = (self.jobs.len() as u64, self.jobs.len() as u64);
            return Input::TooLong { id, place, position: self.position, bytes: 2000 };
        }
        let count = (1 + self.chance.below(12)).min(self.to_come);
        self.to_come -= count;
        let mut jobs = Vec::new();
        for _ in 0..count {
            let payload = Payload::copy(self.position.to_string().as_bytes());
            self.record();
            let (id, job) = (self.jobs.len() as u64, Job { payload, position: self.position });
            jobs.push(Accepted { id, place: id, job });
            self.position += 1;
        }
        Input::Jobs(jobs)
    }

    fn record(&mut self) {
        self.jobs.push(Record {
            position: self.position,
            holder: None,
            was_sent: false,
            not_before: Tick::ZERO,
            attempts: Vec::new(),
            unbegun: 0,
            settled: false,
        });
    }

    fn stale_news(&mut self) -> Input {
        let slot = u32::try_from(self.chance.below(9)).unwrap();
        let begun = self.generations.get(&slot).copied().unwrap_or_default();
        let generation = u32::try_from(self.chance.below(u64::from(begun) + 3)).unwrap();
        let worker = WorkerId { slot, generation };
        if self.processes.contains_key(&worker) {
            return Input::Timer;
        }
        self.stale_news += 1;
        let fault = StartFault { step: StartStep::Exec, errno: crate::errno::EAGAIN };
        let end = ProcessEnd::NeverStarted(fault);
        let jitter = Jitter::from_random(self.chance.draw());
        let news = match self.chance.below(6) {
            0 => News::Executed { pid: 7 },
            1 if self.nature.jobs => {
                News::Replies { replies: Vec::new(), memory: None, printed: false }
            }
            2 if self.nature.jobs => News::Retracted { replies: Vec::new(), started: Some(1) },
            3 if self.nature.jobs => News::Broken(ProtocolFault::Garbage),
            4 if self.nature.jobs => News::Unsendable { id: 1, why: Unsendable::Newline },
            _ => News::Ended { pid: Some(7), end, remains: Remains::default(), jitter },
        };
        Input::Worker { worker, news }
    }

    /// The next news item of a random process, if any has one.
    pub(super) fn news(&mut self) -> Option<Input> {
        let talkers = self.processes.iter().filter(|(_, process)| !process.news.is_empty());
        let talkers: Vec<WorkerId> = talkers.map(|(worker, _)| *worker).collect();
        if talkers.is_empty() {
            return None;
        }
        let worker = talkers[self.chance.index(talkers.len())];
        Some(Input::Worker { worker, news: self.deliver(worker)? })
    }
}
