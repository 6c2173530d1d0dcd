//! What waits in a worker that falls silent is for somebody else: it is asked back. And a worker
//! that had not started anything is left alone until it shows that it lives.

use std::time::Duration;

#[cfg(test)]
use super::super::sim::bugs::{Bug, planted};
use super::{
    super::{Action, Tick, slot::Turn, step::Reply},
    Work,
};
use crate::{event::WorkerId, exit::ProtocolFault};

/// A worker that was silent for so long while jobs wait behind the one it runs is not to start
/// them: they are for somebody else, and the answers it holds back are fetched.
const STALLED_AFTER: Duration = Duration::from_millis(1);
/// And for so long more for each KiB it has in hand: while a large job is on its way to it, or the
/// answer from it, that is no silence, and what is recalled must be moved twice.
const MOVED_PER_KIB: Duration = Duration::from_micros(8);
/// Whether a worker that sleeps has woken is looked at no less often than this.
const LOOK_EVERY_MAX: Duration = Duration::from_secs(1);

/// Where a worker stands between a recall and the jobs behind it.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Recall {
    /// It does what it is sent.
    #[default]
    None,
    /// Asked for.
    Asked,
    /// Answered: nothing waits behind the running job, and nothing is sent until it has ended.
    Done,
    /// That has ended. Jobs that were recalled may still lie in its pipe; they are to be declared
    /// forgotten before others are sent.
    Over,
    /// They were, and nothing was heard of it since: it is sent one job at a time.
    Resumed,
}

/// A worker that was silent with jobs in hand, and had not started any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asleep {
    since: Tick,
    /// When it is next looked at.
    look: Tick,
}

impl Work {
    /// Whether it is not to be relied on: it was recalled, had not started anything, and was not
    /// heard of since.
    pub(in super::super) fn is_asleep(&self) -> bool {
        #[cfg(test)]
        if planted(Bug::TrustsSleepers) {
            return false;
        }
        self.asleep.is_some()
    }

    /// Whether it has been so for longer than anyone is kept from a processor.
    pub(in super::super) fn sleeps_fast(&self, now: Tick) -> bool {
        self.asleep.is_some_and(|asleep| asleep.since + LOOK_EVERY_MAX <= now)
    }

    /// When it is to be asked back what it has.
    pub(super) fn recall_due(&self) -> Option<Tick> {
        match self.asleep {
            Some(asleep) => (self.recall != Recall::Asked).then_some(asleep.look),
            None => {
                let kib = u32::try_from(self.window_bytes >> 10).unwrap_or(u32::MAX);
                self.may_stall().then(|| self.heard + STALLED_AFTER + MOVED_PER_KIB * kib)
            }
        }
    }

    pub(super) fn recall_on_time(&mut self, worker: WorkerId, turn: &mut Turn<'_>) {
        if self.recall_due().is_none_or(|due| due > turn.now) {
            return;
        }
        if self.recall == Recall::Over {
            // Once it has read this, a further recall finds it awake.
            let resume = self.resumes(turn.now);
            turn.actions.push(Action::Send { worker, resume, orders: Vec::new() });
        } else {
            self.recall(worker, turn);
        }
    }

    /// Whether what is sent now must come behind the word that jobs count again.
    pub(super) fn resumes(&mut self, now: Tick) -> bool {
        let resumes = self.recall == Recall::Over;
        if resumes {
            self.recall = Recall::Resumed;
            if self.is_asleep() {
                self.sleep_on(now);
            }
        }
        resumes
    }

    /// Asks back what it has not started.
    pub(in super::super) fn ask_back(&mut self, worker: WorkerId, turn: &mut Turn<'_>) {
        if self.may_stall() {
            self.recall(worker, turn);
        }
    }

    fn may_stall(&self) -> bool {
        self.window.len() > 1 && self.abilities.recorder && self.recall == Recall::None
    }

    fn recall(&mut self, worker: WorkerId, turn: &mut Turn<'_>) {
        self.recall = Recall::Asked;
        turn.actions.push(Action::Recall(worker));
    }

    /// It was heard of.
    pub(super) fn wake(&mut self) {
        self.asleep = None;
        if self.recall == Recall::Resumed {
            self.recall = Recall::None;
        }
    }

    /// It is looked at again after as long as it has slept: whoever only had to wait for a
    /// processor soon has jobs again, and whoever is stopped costs nothing.
    fn sleep_on(&mut self, now: Tick) {
        let since = self.asleep.map_or(now, |asleep| asleep.since);
        let pause = (now - since).clamp(STALLED_AFTER, LOOK_EVERY_MAX);
        self.asleep = Some(Asleep { since, look: now + pause });
    }

    /// Takes the answer to a recall: what it has not started goes back.
    ///
    /// # Errors
    /// Its record says what cannot be.
    pub(in super::super) fn on_recalled(
        &mut self,
        worker: WorkerId,
        started: Option<u64>,
        replies: Vec<Reply>,
        turn: &mut Turn<'_>,
    ) -> Result<(), ProtocolFault> {
        if self.is_broken {
            return Ok(());
        }
        let has_answered = !replies.is_empty();
        self.on_replies(worker, replies, None, turn)?;
        let Some(started) = started else {
            self.recall = Recall::Resumed;
            self.sleep_on(turn.now);
            return Ok(());
        };
        let first = self.first();
        // Answers may be on their way still, before the one that runs.
        let kept = match started {
            started if started == self.done => 0,
            started if (first..=self.last).contains(&started) => started + 1 - first,
            _ => return Err(ProtocolFault::Recorder),
        };
        let was_idle = self.window.is_empty();
        while self.window.len() as u64 > kept
            && let Some(key) = self.window.pop_back()
        {
            self.last -= 1;
            self.window_bytes -= turn.ledger.bytes(key);
            turn.ledger.give_back(key, turn.actions);
        }
        self.recall = Recall::Done;
        // Who was asleep has come past the recall before, or there were no answer.
        let has_woken = self.asleep.take().is_some();
        self.rest();
        if kept == 0 && !was_idle && !has_answered && !has_woken {
            self.asleep = Some(Asleep { since: turn.now, look: turn.now });
        }
        Ok(())
    }
}
