//! The end of a simulated process, and the data that is collected after it.

use std::time::Duration;

use super::{Chance, ends::evidence, nature::Nature, process::Process};
use crate::{
    decide::{Jitter, News, Remains},
    exit::{ProcessEnd, Status},
    signal::Signal,
};

impl Process {
    /// It ends by itself or by a signal from outside.
    pub(super) fn fall(&mut self, nature: &Nature, chance: &mut Chance) {
        let signal = |signal| Status::Signal { signal, core: false };
        let status = match chance.below(if nature.jobs { 9 } else { 3 }) {
            _ if nature.killed => signal(chance.pick(&[Signal::KILL, Signal::TERM])),
            0 => signal(Signal::KILL),
            1 | 3 => Status::Code(0),
            2 | 4 => Status::Code(1),
            5 => signal(Signal::TERM),
            6 => signal(Signal::XCPU),
            _ => signal(Signal::SEGV),
        };
        self.die(status);
        if let Some(ProcessEnd::Ended(evidence)) = &mut self.end
            && nature.jobs
        {
            evidence.says_out_of_memory = !nature.killed && chance.one_in(8);
            evidence.kernel_oom = !nature.killed && chance.one_in(8);
            evidence.own_cpu = Duration::from_secs(chance.below(4));
        }
    }

    pub(super) fn die(&mut self, status: Status) {
        self.end = Some(ProcessEnd::Ended(evidence(status)));
    }

    /// The pool withdraws its start, which has an effect only if its process was not created yet.
    pub(super) fn withdraw(&mut self, chance: &mut Chance) {
        if self.executed || self.end.is_some() || self.held || chance.one_in(3) {
            return;
        }
        (self.withdrawn, self.noticed) = (true, true);
        let end = ProcessEnd::Withdrawn;
        self.end = Some(end.clone());
        let (remains, jitter) = (Remains::default(), Jitter::from_random(chance.draw()));
        self.news.push_back(News::Ended { pid: None, end, remains, jitter });
    }

    /// The supervisor observes its end, and collects its remains.
    pub(super) fn notice(&mut self, nature: &Nature, chance: &mut Chance) {
        if self.noticed || !nature.obedient && chance.one_in(2) {
            return;
        }
        self.noticed = true;
        let Some(mut end) = self.end.clone() else { return };
        if matches!(end, ProcessEnd::Ended(_)) && self.executed && chance.one_in(nature.stolen) {
            end = ProcessEnd::Unobserved { errno: 10 };
        }
        let mut remains = Remains::default();
        if self.executed {
            remains.started = self.spoken.then_some(self.started);
            remains.broken = self.broken;
            if self.broken.is_none() {
                remains.replies.append(&mut self.pipe);
                remains.replies.append(&mut self.tail);
            }
        }
        let jitter = Jitter::from_random(chance.draw());
        self.news.push_back(News::Ended { pid: Some(7), end, remains, jitter });
    }
}
