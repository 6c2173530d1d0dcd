//! What does a slot do with what its workers say of jobs, and with their time?

use super::{
    Policy, Tick,
    ending::is_replaced_at_once,
    ledger::JobKey,
    slot::{Outgoing, Slot, State, Turn},
    step::{Abilities, Memory, Reply},
    stopping::{Rung, Stopping},
    work::Work,
};
use crate::{
    event::WorkerId,
    exit::{Pipe, ProtocolFault, StopReason},
    rules::{JobRules, Roll},
};

impl Slot {
    /// A worker says that it speaks the protocol. False for a life that is over.
    pub(super) fn on_hello(
        &mut self,
        life: u32,
        abilities: Abilities,
        turn: &mut Turn<'_>,
    ) -> bool {
        if life != self.current {
            return self.outgoing.as_ref().is_some_and(|old| old.life == life);
        }
        match self.state {
            State::Starting { executed: Some(executed) } => {
                self.work.introduce(abilities);
                self.ready(executed, turn);
                true
            }
            State::Stopping(_) | State::Ready { .. } => true,
            State::Starting { executed: None } | State::Empty { .. } | State::Retired(_) => false,
        }
    }

    /// A worker answers. False for a life that is over.
    pub(super) fn on_replies(
        &mut self,
        life: u32,
        replies: Vec<Reply>,
        memory: Option<Memory>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some((worker, work)) = self.work_of(life) else { return false };
        let read = work.on_replies(worker, replies, memory, turn);
        self.after_replies(life, read, memory, turn);
        true
    }

    /// A worker was told to start nothing more. False for a life that is over.
    pub(super) fn on_recalled(
        &mut self,
        life: u32,
        started: Option<u64>,
        replies: Vec<Reply>,
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some((worker, work)) = self.work_of(life) else { return false };
        let read = work.on_recalled(worker, started, replies, turn);
        self.after_replies(life, read, None, turn);
        true
    }

    fn after_replies(
        &mut self,
        life: u32,
        read: Result<(), ProtocolFault>,
        memory: Option<Memory>,
        turn: &mut Turn<'_>,
    ) {
        if let Err(fault) = read {
            return self.break_off(life, fault, turn);
        }
        if life != self.current {
            return self.dismiss_outgoing(turn);
        }
        if self.work.answered() > 0 {
            self.record.forgive();
        }
        match self.state {
            State::Stopping(stopping) if self.work.is_idle() => {
                self.state = State::Stopping(stopping.dismiss(self.worker(), turn));
            }
            State::Ready { .. } => {
                let Some(rules) = &turn.policy.jobs else { return };
                let many = self.work.is_spent(rules);
                let large = rules.recycle.resident_bytes.zip(memory);
                let large = large.is_some_and(|(max, memory)| memory.resident_bytes >= max);
                if (many || large) && turn.now >= self.keep_until {
                    self.recycle();
                }
            }
            _ => {}
        }
    }

    fn dismiss_outgoing(&mut self, turn: &mut Turn<'_>) {
        let Some(worker) = self.outgoing_worker() else { return };
        let Some(old) = &mut self.outgoing else { return };
        if let Some(stopping) = old.stopping.filter(|_| old.work.is_idle()) {
            old.stopping = Some(stopping.dismiss(worker, turn));
        }
    }

    /// Whether a worker wrote to its own streams while it did what it now answers.
    pub(super) fn on_printed(&mut self, life: u32, printed: bool) {
        if let Some((_, work)) = self.work_of(life).filter(|_| printed) {
            work.keep_apart();
        }
    }

    /// A worker will hear or say nothing more. False for a life that is over.
    pub(super) fn on_closed(&mut self, life: u32, pipe: Pipe, turn: &Turn<'_>) -> bool {
        let Some((_, work)) = self.work_of(life) else { return false };
        work.close(pipe, turn.now);
        true
    }

    /// A worker broke the protocol: it is killed. False for a life that is over.
    pub(super) fn break_off(&mut self, life: u32, fault: ProtocolFault, turn: &mut Turn<'_>) {
        if let Some((_, work)) = self.work_of(life) {
            work.break_off();
        }
        self.kill(life, StopReason::Protocol(fault), turn);
    }

    /// A worker holds more memory than it may, with all that descends from it. Where that is a
    /// command, it is the command that ends.
    pub(super) fn on_overweight(&mut self, life: u32, bytes: u64, turn: &mut Turn<'_>) {
        let Some((worker, work)) = self.work_of(life) else { return };
        if turn.policy.runs_commands {
            work.end_overweight(worker, bytes, turn);
        } else {
            work.weighs(bytes);
            self.kill(life, StopReason::Memory, turn);
        }
    }

    /// A job was not sent to a worker, since no frame can hold it. False for a life that is over.
    pub(super) fn on_unsendable(
        &mut self,
        life: u32,
        id: u64,
        sizes: [u64; 2],
        turn: &mut Turn<'_>,
    ) -> bool {
        let Some((worker, work)) = self.work_of(life) else { return false };
        work.on_unsendable(worker, id, sizes, turn);
        self.after_replies(life, Ok(()), None, turn);
        true
    }

    /// A user kills a worker. Why it was to end already stays the reason.
    pub(super) fn kill_for_user(&mut self, life: u32, turn: &mut Turn<'_>) {
        let own = match self.state {
            State::Stopping(stopping) if life == self.current => Some(stopping),
            _ => None,
        };
        if life == self.current && matches!(self.state, State::Starting { executed: None }) {
            let (why, worker) = (StopReason::Killed, self.worker());
            let unheard = Stopping::begin(why, Rung::Unheard, worker, turn);
            self.state = State::Stopping(unheard.press(worker, turn));
            return;
        }
        let old = self.outgoing.as_ref().filter(|old| old.life == life);
        let known = own.or(old.and_then(|old| old.stopping));
        self.kill(life, known.map_or(StopReason::Killed, |stopping| stopping.why), turn);
    }

    /// It ends at once, whatever it does.
    fn kill(&mut self, life: u32, why: StopReason, turn: &mut Turn<'_>) {
        if let Some(old) = self.outgoing.as_mut().filter(|old| old.life == life) {
            let worker = WorkerId { slot: self.number, life };
            if old.stopping.is_none_or(|stopping| stopping.rung != Rung::Killed) {
                old.stopping = Some(Stopping::begin(why, Rung::Killed, worker, turn));
            }
            return;
        }
        let is_live = match self.state {
            State::Starting { .. } | State::Ready { .. } => true,
            State::Stopping(stopping) => stopping.rung != Rung::Killed,
            State::Empty { .. } | State::Retired(_) => false,
        };
        if is_live && life == self.current {
            let killed = Stopping::begin(why, Rung::Killed, self.worker(), turn);
            self.state = State::Stopping(killed);
        }
    }

    /// Whether a life is one of those that the slot holds.
    pub(super) fn holds(&self, life: u32) -> bool {
        let has_worker = !matches!(self.state, State::Empty { .. } | State::Retired(_));
        has_worker && life == self.current
            || self.outgoing.as_ref().is_some_and(|old| old.life == life)
    }

    /// What each of its workers has in hand that does or finishes it: of those that are to end at
    /// once, all will be given back.
    pub(super) fn works(&mut self) -> impl Iterator<Item = (WorkerId, &mut Work)> {
        let slot = self.number;
        let finishes = |stopping: Stopping| stopping.rung == Rung::Draining;
        let old = self.outgoing.as_mut().filter(|old| old.stopping.is_none_or(finishes));
        let old = old.map(|old| (old.life, &mut old.work));
        let serves = match self.state {
            State::Ready { .. } => true,
            State::Stopping(stopping) => finishes(stopping),
            State::Empty { .. } | State::Starting { .. } | State::Retired(_) => false,
        };
        let own = serves.then_some((self.current, &mut self.work));
        old.into_iter().chain(own).map(move |(life, work)| (WorkerId { slot, life }, work))
    }

    /// The job that each of its workers runs, or is about to, and since when.
    pub(super) fn running(&self) -> impl Iterator<Item = (WorkerId, JobKey, Tick)> {
        let slot = self.number;
        let old = self.outgoing.as_ref().map(|old| (old.life, &old.work));
        old.into_iter().chain([(self.current, &self.work)]).filter_map(move |(life, work)| {
            let (key, since) = work.first_in_hand()?;
            Some((WorkerId { slot, life }, key, since))
        })
    }

    pub(super) fn work_of(&mut self, life: u32) -> Option<(WorkerId, &mut Work)> {
        if !self.holds(life) {
            return None;
        }
        let worker = WorkerId { slot: self.number, life };
        if life == self.current {
            return Some((worker, &mut self.work));
        }
        self.outgoing.as_mut().map(|old| (worker, &mut old.work))
    }

    /// The worker that takes jobs: the outgoing one until its successor is ready.
    pub(super) fn taker(&mut self) -> Option<(WorkerId, &mut Work)> {
        let number = self.number;
        if let Some(old) = self.outgoing.as_mut().filter(|old| old.stopping.is_none()) {
            return Some((WorkerId { slot: number, life: old.life }, &mut old.work));
        }
        match self.state {
            State::Ready { .. } => {
                Some((WorkerId { slot: number, life: self.current }, &mut self.work))
            }
            _ => None,
        }
    }

    /// Whether it takes jobs, or will, sooner or later.
    pub(super) fn may_take(&mut self) -> bool {
        self.is_coming() || self.taker().is_some_and(|(_, work)| work.is_reliable())
    }

    /// Whether a fresh worker is on its way.
    pub(super) fn is_coming(&self) -> bool {
        match self.state {
            State::Empty { .. } | State::Starting { .. } => true,
            State::Stopping(stopping) => is_replaced_at_once(stopping.why),
            State::Ready { .. } => self.work.is_fresh(),
            State::Retired(_) => false,
        }
    }

    pub(super) fn may_make_way(&self) -> bool {
        matches!(self.state, State::Ready { .. }) && self.outgoing.is_none()
    }

    /// Its worker makes way for a fresh one as soon as it has done what it has.
    pub(super) fn make_way(&mut self, turn: &mut Turn<'_>) {
        let worker = self.worker();
        let rung = self.work.first_rung(true, worker, turn);
        let why = StopReason::SecondOpinion;
        self.state = State::Stopping(Stopping::begin(why, rung, worker, turn));
    }

    /// What is due about the job that the slot's worker runs, and about the worker's age.
    pub(super) fn job_on_time(&mut self, executed: Tick, turn: &mut Turn<'_>) {
        let worker = self.worker();
        if let Some(why) = self.work.on_time(worker, turn) {
            self.state = State::Stopping(Stopping::must(why, worker, turn));
            return;
        }
        if self.recycle_due(executed, turn.policy).is_some_and(|due| due <= turn.now) {
            self.recycle();
        }
    }

    /// When its worker, which is not to be replaced yet, has served long enough.
    pub(super) fn recycle_due(&self, executed: Tick, policy: &Policy) -> Option<Tick> {
        let rules = policy.jobs.as_ref().filter(|_| self.stale_through < self.current)?;
        let age = rules.recycle.age.map(|age| executed + age);
        let jobs = self.work.is_spent(rules).then_some(Tick::ZERO);
        age.into_iter().chain(jobs).min().map(|due| due.max(self.keep_until))
    }

    pub(super) fn outgoing_on_time(&mut self, turn: &mut Turn<'_>) {
        let Some(worker) = self.outgoing_worker() else { return };
        let Some(old) = &mut self.outgoing else { return };
        let may_overrun = old.stopping.is_none_or(|stopping| stopping.rung == Rung::Draining);
        if may_overrun && let Some(why) = old.work.on_time(worker, turn) {
            old.stopping = Some(Stopping::must(why, worker, turn));
            return;
        }
        let Some(stopping) = old.stopping.filter(|stopping| stopping.deadline <= turn.now) else {
            return;
        };
        match stopping.climb(worker, turn) {
            Some(climbed) => old.stopping = Some(climbed),
            None => self.bury_outgoing(stopping, turn),
        }
    }

    /// The outgoing worker shall end, or for another reason than so far.
    pub(super) fn ask_outgoing(&mut self, why: StopReason, drains: bool, turn: &mut Turn<'_>) {
        let Some(worker) = self.outgoing_worker() else { return };
        let Some(old) = &mut self.outgoing else { return };
        old.stopping = Some(match old.stopping {
            Some(stopping) => stopping.join(why, drains, worker, turn),
            None => {
                let rung = old.work.first_rung(drains, worker, turn);
                Stopping::begin(why, rung, worker, turn)
            }
        });
    }

    /// The worker has served long enough: it is replaced when its turn comes.
    fn recycle(&mut self) {
        (self.stale_through, self.stale_why) = (self.current, StopReason::Recycle);
    }

    /// A roll begins: the worker there is now shall be replaced, when its turn comes.
    pub(super) fn mark_stale(&mut self) {
        (self.stale_through, self.stale_why) = (self.lives(), StopReason::Roll);
    }

    /// A roll is called off.
    pub(super) fn unmark_stale(&mut self) {
        self.stale_through = 0;
    }

    /// Whether a life came after one that was to be replaced.
    pub(super) fn succeeds_rolled(&self, life: u32) -> bool {
        (1..life).contains(&self.stale_through)
    }

    /// Whether its worker is to be replaced.
    pub(super) fn is_stale(&self) -> bool {
        self.current <= self.stale_through && !matches!(self.state, State::Retired(_))
    }

    /// Whether its replacement, if there was one, is over.
    pub(super) fn is_settled(&self) -> bool {
        matches!(self.state, State::Ready { .. } | State::Retired(_)) && self.outgoing.is_none()
    }

    /// Whether nothing but the end of its old worker is missing from its replacement, or that one
    /// has to finish its job first.
    pub(super) fn is_draining(&self) -> bool {
        match self.state {
            State::Ready { .. } | State::Retired(_) => self.outgoing.is_some(),
            State::Stopping(stopping) => stopping.rung == Rung::Draining && self.outgoing.is_none(),
            State::Empty { .. } | State::Starting { .. } => false,
        }
    }

    /// Whether its worker is ready, and of before the roll.
    pub(super) fn may_roll(&self) -> bool {
        let is_stale = self.current <= self.stale_through;
        is_stale && matches!(self.state, State::Ready { .. }) && self.outgoing.is_none()
    }

    /// Replaces the worker.
    pub(super) fn replace_stale(&mut self, turn: &mut Turn<'_>) {
        let State::Ready { executed } = self.state else { return };
        match turn.policy.roll {
            Roll::StartFirst => {
                let (life, work) = (self.current, std::mem::take(&mut self.work));
                self.outgoing = Some(Outgoing { life, executed, work, stopping: None });
                self.spawn(turn);
            }
            Roll::StopFirst => {
                let worker = self.worker();
                let rung = self.work.first_rung(true, worker, turn);
                self.state = State::Stopping(Stopping::begin(self.stale_why, rung, worker, turn));
            }
        }
    }
}

impl Work {
    /// At which rung its worker begins to be stopped: workers with jobs may first finish.
    pub(super) fn first_rung(
        &mut self,
        drains: bool,
        worker: WorkerId,
        turn: &mut Turn<'_>,
    ) -> Rung {
        if !drains || turn.policy.jobs.is_none() {
            return Rung::Asked;
        }
        if self.is_idle() {
            return Rung::Dismissed;
        }
        // What waits behind the running job is for others, or for another run.
        self.ask_back(worker, turn);
        Rung::Draining
    }
}

/// When something is due about a worker's job.
pub(super) fn deadline(work: &Work, policy: &Policy) -> Option<Tick> {
    policy.jobs.as_ref().and_then(|rules: &JobRules| work.deadline(rules))
}
