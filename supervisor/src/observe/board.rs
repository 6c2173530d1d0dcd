//! The fold of all that happens, from which every view is drawn. No view keeps a count of its own.

use std::time::Duration;

use super::{
    history::{History, Sample},
    settled::{Counts, Settled},
};
use pool::{
    event::{Ended, Event, Next, ShutdownReason, Tally, WorkerId},
    job::Outcome,
};
use records::names;

/// What a run looks like now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    slots: Vec<SlotView>,
    jobs: Tally,
    settled: Settled,
    history: History,
    stopping: Option<ShutdownReason>,
}

/// What a slot looks like.
#[derive(Clone, Debug)]
pub struct SlotView {
    /// Its number.
    pub slot: u32,
    /// Its processes, oldest first: during a roll there are two.
    pub live: Vec<Live>,
    /// How the last worker to have the slot ended, if one has.
    pub last: Option<Ended>,
    /// How many workers were replaced, by the cause of their end.
    pub restarts: Counts<&'static str>,
}

/// A worker whose program was executed and has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Live {
    /// Which worker.
    pub worker: WorkerId,
    /// Its process.
    pub pid: i32,
    /// What it does.
    pub state: State,
    /// When its program was executed, since the run began.
    pub since: Duration,
    /// What it holds, in bytes, where somebody looked.
    pub memory_bytes: Option<u64>,
}

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its program runs.
    Running,
    /// And has run long enough to count on.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It was killed, and the kernel holds it.
    Undead,
}

impl Board {
    /// A run of so many slots in which nothing has happened.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        let mut board = Self::default();
        board.grow(workers);
        board
    }

    /// There are so many slots now, or were more before.
    pub fn grow(&mut self, workers: u32) {
        let there = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let view =
            |slot| SlotView { slot, live: Vec::new(), last: None, restarts: Counts::default() };
        self.slots.extend((there + 1..=workers).map(view));
    }

    /// Its slots, in order.
    #[must_use]
    pub fn slots(&self) -> &[SlotView] {
        &self.slots
    }

    /// How its jobs stand.
    #[must_use]
    pub fn jobs(&self) -> Tally {
        self.jobs
    }

    /// How those ended that have.
    #[must_use]
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// How it went so far.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Why it stops, once it does.
    #[must_use]
    pub fn stopping(&self) -> Option<ShutdownReason> {
        self.stopping
    }

    /// These jobs have ended; they are taken.
    pub fn settle(&mut self, now: Duration, outcomes: &mut Vec<Outcome>) {
        self.settled.add(now, outcomes);
    }

    /// So much memory a worker holds, in bytes.
    pub fn measured(&mut self, worker: WorkerId, bytes: u64) {
        if let Some(live) = self.live(worker) {
            live.memory_bytes = Some(bytes);
        }
    }

    /// The counters as they stand are those of the time up to now, where a sample of it is due.
    pub fn sample(&mut self, now: Duration) {
        if !self.history.is_due(now) {
            return;
        }
        let live = self.slots.iter().flat_map(|slot| &slot.live);
        let memory_bytes = live.filter_map(|live| live.memory_bytes).reduce(u64::saturating_add);
        let (settled, failed) = (self.jobs.settled(), self.jobs.failed + self.jobs.crashed);
        self.history.sample(now, Sample { at: now, settled, failed, memory_bytes });
    }

    /// Takes an event in.
    pub fn apply(&mut self, now: Duration, event: &Event) {
        self.sample(now);
        match event {
            Event::Started { worker, pid } => {
                let (worker, pid, state) = (*worker, *pid, State::Running);
                if let Some(slot) = self.slot(worker) {
                    slot.live.push(Live { worker, pid, state, since: now, memory_bytes: None });
                }
            }
            Event::Ready { worker } => self.set(*worker, State::Ready),
            Event::Stopping { worker, .. } => self.set(*worker, State::Stopping),
            Event::Unkillable { worker } => self.set(*worker, State::Undead),
            Event::Ended(ended) => self.end(ended),
            Event::Jobs(tally) => self.jobs = *tally,
            Event::ShuttingDown { reason } => self.stopping = Some(*reason),
            Event::RollCancelled { .. } | Event::StillSilent { .. } | Event::Retried { .. } => {}
        }
    }

    fn end(&mut self, ended: &Ended) {
        let Some(slot) = self.slot(ended.worker) else { return };
        slot.live.retain(|live| live.worker != ended.worker);
        if matches!(ended.next, Next::Again(_) | Next::Replaced) {
            slot.restarts.add(names::cause(ended.cause));
        }
        // While another worker has the slot, this is not how the slot ended up.
        if !matches!(ended.next, Next::Replaced | Next::NotNeeded) {
            slot.last = Some(ended.clone());
        }
    }

    fn set(&mut self, worker: WorkerId, state: State) {
        if let Some(live) = self.live(worker) {
            live.state = state;
        }
    }

    fn live(&mut self, worker: WorkerId) -> Option<&mut Live> {
        self.slot(worker)?.live.iter_mut().find(|live| live.worker == worker)
    }

    fn slot(&mut self, worker: WorkerId) -> Option<&mut SlotView> {
        let index = usize::try_from(worker.slot).ok()?.checked_sub(1)?;
        self.slots.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pool::exit::{Cause, StartFault, StartStep};

    fn worker(life: u32) -> WorkerId {
        WorkerId { slot: 1, generation: life }
    }

    fn started(life: u32) -> Event {
        Event::Started { worker: worker(life), pid: i32::try_from(life).unwrap() }
    }

    fn ended(life: u32, next: Next) -> Event {
        let fault = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
        let cause = Cause::CouldNotStart(fault);
        Event::Ended(Ended { worker: worker(life), pid: None, cause, evidence: None, next })
    }

    fn check(events: &[Event], live: &[u32], last: Option<u32>) {
        let mut board = Board::new(1);
        events.iter().for_each(|event| board.apply(Duration::ZERO, event));
        let [slot] = board.slots() else { panic!("one slot") };
        let lives: Vec<u32> = slot.live.iter().map(|live| live.worker.generation).collect();
        assert_eq!(lives, live);
        assert_eq!(slot.last.as_ref().map(|ended| ended.worker.generation), last);
    }

    #[test]
    fn a_roll_shows_both_and_then_the_one_that_stayed() {
        check(&[started(1), started(2)], &[1, 2], None);
        check(&[started(1), started(2), ended(1, Next::Replaced)], &[2], None);
        check(&[started(1), started(2), ended(2, Next::NotNeeded)], &[1], None);
        check(&[started(1), ended(1, Next::Done)], &[], Some(1));
    }

    #[test]
    fn a_worker_that_is_replaced_is_counted_by_its_cause() {
        let mut board = Board::new(1);
        let again = |life| ended(life, Next::Again(Duration::ZERO));
        let events = [started(1), again(1), started(2), again(2), started(3), ended(3, Next::Done)];
        events.iter().for_each(|event| board.apply(Duration::ZERO, event));
        let restarts: Vec<_> = board.slots()[0].restarts.iter().collect();
        assert_eq!(restarts, [("could_not_start", 2)]);
    }

    #[test]
    fn memory_is_summed_over_the_workers_that_live() {
        let mut board = Board::new(1);
        let at = Duration::from_secs;
        [started(1), started(2)].iter().for_each(|event| board.apply(at(0), event));
        board.sample(at(1));
        for (life, bytes) in [(1, 10), (2, 5), (9, 3)] {
            board.measured(worker(life), bytes);
        }
        board.apply(at(2), &ended(1, Next::Replaced));
        board.sample(at(3));
        let memory: Vec<_> = board.history().samples().map(|s| s.memory_bytes).collect();
        assert_eq!(memory, [None, Some(15), Some(5)]);
    }

    #[test]
    fn news_of_a_slot_that_there_is_not_changes_nothing() {
        let nowhere = WorkerId { slot: 9, generation: 1 };
        check(&[Event::Ready { worker: nowhere }, Event::Ready { worker: worker(7) }], &[], None);
    }
}
