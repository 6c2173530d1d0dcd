//! What is due, and whose turn is it? One bound for all deadlines, and one way to a slot.

use super::{
    Action, Actions, Pool, Tick,
    shutdown::Haste,
    slot::{Slot, Turn},
    watch::Watch,
};

impl Pool {
    /// Does what is due.
    pub(super) fn on_time(&mut self, now: Tick, actions: &mut Actions) {
        if self.alarm.is_none_or(|alarm| alarm > now) {
            return;
        }
        self.ledger.on_time(now);
        if let Some(watch) = &mut self.watch {
            let workers = watch.take_due(now);
            if !workers.is_empty() {
                actions.push(Action::Weigh { workers, limit: watch.limit() });
            }
        }
        self.each_slot(now, actions, Slot::on_time);
        self.rolling.has_stale |= self.slots.iter().any(Slot::is_stale);
        let (policy, noted) = (&self.policy, self.silence_noted);
        let slots = self.slots.iter().filter_map(|slot| slot.deadline(policy, noted));
        let look = self.watch.as_ref().and_then(Watch::deadline);
        self.alarm = slots.chain(self.jobs_deadline(now)).chain(look).min();
    }

    /// Whatever this step has changed may be due earlier than all else.
    pub(super) fn settle_alarm(&mut self, now: Tick) {
        let (policy, noted) = (&self.policy, self.silence_noted);
        for index in self.touched.drain(..) {
            let deadline = self.slots[index].deadline(policy, noted);
            self.alarm = self.alarm.into_iter().chain(deadline).min();
        }
        let waiting = self.ledger.deadline().filter(|_| self.policy.jobs.is_some());
        let paced = self.paced_until(now);
        let look = self.watch.as_ref().and_then(Watch::deadline);
        self.alarm = self.alarm.into_iter().chain(waiting).chain(paced).chain(look).min();
    }

    /// When the next job may be sent, where one waits for that.
    fn paced_until(&self, now: Tick) -> Option<Tick> {
        let is_any = self.ledger.ready() > 0 || self.ledger.has_lonely();
        let waits = is_any && !self.is_stopping();
        Some(self.not_before).filter(|at| waits && *at > now)
    }

    pub(super) fn jobs_deadline(&self, now: Tick) -> Option<Tick> {
        let rules = self.policy.jobs.as_ref()?;
        let run = rules.deadline.filter(|at| *at > now && !self.finishing);
        self.ledger.deadline().into_iter().chain(run).chain(self.paced_until(now)).min()
    }

    pub(super) fn each_slot(
        &mut self,
        now: Tick,
        actions: &mut Actions,
        mut each: impl FnMut(&mut Slot, &mut Turn<'_>),
    ) {
        for index in 0..self.slots.len() {
            let (slot, mut turn) = self.turn(now, index, actions);
            each(slot, &mut turn);
        }
    }

    pub(super) fn turn<'a>(
        &'a mut self,
        now: Tick,
        index: usize,
        actions: &'a mut Actions,
    ) -> (&'a mut Slot, Turn<'a>) {
        self.touched.push(index);
        self.hungry.insert(index);
        let turn = Turn {
            now,
            policy: &self.policy,
            stopping: self.shutdown.reason().is_some() || self.finishing,
            hurries: self.shutdown.haste().is_some_and(|haste| haste > Haste::None),
            has_run: self.has_run,
            silence_noted: &mut self.silence_noted,
            ledger: &mut self.ledger,
            actions,
        };
        (&mut self.slots[index], turn)
    }
}
