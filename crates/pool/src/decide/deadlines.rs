//! Keeps one lower bound for all deadlines of a run, and gives access to a slot together with the
//! context of a step. Every access marks the slot as changed, so that its deadline is read again.

use super::{
    action::{Action, Actions},
    context::StepContext,
    input::Tick,
    memory_watch::MemoryWatch,
    pool::Pool,
    shutdown::Urgency,
    slot::Slot,
    slots::SlotIndex,
};

impl Pool {
    /// Acts on all deadlines that have passed, and computes the next one.
    pub(super) fn on_time(&mut self, now: Tick, actions: &mut Actions) {
        if self.deadline.is_none_or(|deadline| deadline > now) {
            return;
        }
        self.ledger.on_time(now);
        if let Some(memory) = &mut self.memory {
            let workers = memory.take_due(now);
            if !workers.is_empty() {
                actions.push(Action::SampleMemory { workers, limit: memory.limit() });
            }
        }
        self.each_slot(now, actions, Slot::on_time);
        self.rolling.has_stale |= self.slots.iter().any(Slot::is_stale);
        let (policy, contact) = (&self.policy, self.contact);
        let slots = self.slots.iter().filter_map(|slot| slot.deadline(policy, contact));
        self.deadline = slots.chain(self.other_deadline(now)).min();
    }

    /// Lowers the deadline to those that this step may have brought forward.
    pub(super) fn update_deadline(&mut self, now: Tick) {
        let mut deadline = self.deadline;
        for index in self.dirty_slots.drain(..) {
            let of_slot = self.slots[index].deadline(&self.policy, self.contact);
            deadline = deadline.into_iter().chain(of_slot).min();
        }
        self.deadline = deadline.into_iter().chain(self.other_deadline(now)).min();
    }

    /// When the delay between two jobs ends, if a job waits for that.
    fn paced_until(&self, now: Tick) -> Option<Tick> {
        let is_any = self.ledger.ready() > 0 || self.ledger.has_isolated();
        let is_awaited = is_any && !self.phase.is_stopping() && self.send_after > now;
        is_awaited.then_some(self.send_after)
    }

    /// The earliest deadline that belongs to no slot.
    pub(super) fn other_deadline(&self, now: Tick) -> Option<Tick> {
        let sample = self.memory.as_ref().and_then(MemoryWatch::deadline);
        let Some(rules) = &self.policy.jobs else { return sample };
        let run = rules.deadline.filter(|at| *at > now && !self.phase.is_done());
        let jobs = self.ledger.deadline().into_iter().chain(run).chain(self.paced_until(now));
        jobs.chain(sample).min()
    }

    pub(super) fn each_slot(
        &mut self,
        now: Tick,
        actions: &mut Actions,
        mut each: impl FnMut(&mut Slot, &mut StepContext<'_>),
    ) {
        for index in self.slots.indices() {
            let (slot, mut ctx) = self.at(now, index, actions);
            each(slot, &mut ctx);
        }
    }

    /// A slot that this step may change, and the step's context.
    pub(super) fn at<'a>(
        &'a mut self,
        now: Tick,
        index: SlotIndex,
        actions: &'a mut Actions,
    ) -> (&'a mut Slot, StepContext<'a>) {
        self.dirty_slots.push(index);
        self.ready.insert(index);
        let shutdown = self.phase.shutdown();
        let ctx = StepContext {
            now,
            policy: &self.policy,
            is_stopping: self.phase.is_stopping(),
            urgency: shutdown.map_or(Urgency::None, |shutdown| shutdown.urgency),
            contact: &mut self.contact,
            health: &mut self.health,
            memory: self.memory.as_mut(),
            ledger: &mut self.ledger,
            actions,
        };
        (&mut self.slots[index], ctx)
    }
}
