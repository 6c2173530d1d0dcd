//! The fold of all events, from which every view is drawn. No view keeps a count of its own.

use crate::event::{Ended, Event, Next, Tally, WorkerId};

/// What a run looks like now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    slots: Vec<SlotView>,
    jobs: Tally,
}

/// What a slot looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotView {
    /// Its number.
    pub slot: u32,
    /// Its processes, oldest first: during a roll there are two.
    pub live: Vec<Live>,
    /// How the last worker to have the slot ended, if one has.
    pub last: Option<Ended>,
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
        let view = |slot| SlotView { slot, live: Vec::new(), last: None };
        Self { slots: (1..=workers).map(view).collect(), jobs: Tally::default() }
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

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { worker, pid } => {
                if let Some(slot) = self.slot(*worker) {
                    slot.live.push(Live { worker: *worker, pid: *pid, state: State::Running });
                }
            }
            Event::Ready { worker } => self.set(*worker, State::Ready),
            Event::Stopping { worker, .. } => self.set(*worker, State::Stopping),
            Event::Undead { worker } => self.set(*worker, State::Undead),
            Event::Ended(ended) => {
                if let Some(slot) = self.slot(ended.worker) {
                    slot.live.retain(|live| live.worker != ended.worker);
                    // While another worker has the slot, this is not how the slot ended up.
                    if !matches!(ended.next, Next::Replaced | Next::NotNeeded) {
                        slot.last = Some(ended.clone());
                    }
                }
            }
            Event::Jobs(tally) => self.jobs = *tally,
            Event::ShuttingDown { .. }
            | Event::RollCalledOff { .. }
            | Event::StillSilent { .. }
            | Event::TriedAgain { .. } => {}
        }
    }

    fn set(&mut self, worker: WorkerId, state: State) {
        let slot = self.slot(worker);
        let live = slot.and_then(|slot| slot.live.iter_mut().find(|live| live.worker == worker));
        if let Some(live) = live {
            live.state = state;
        }
    }

    fn slot(&mut self, worker: WorkerId) -> Option<&mut SlotView> {
        let index = usize::try_from(worker.slot).ok()?.checked_sub(1)?;
        self.slots.get_mut(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::{Cause, StartFault, StartStep};

    fn worker(life: u32) -> WorkerId {
        WorkerId { slot: 1, life }
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
        events.iter().for_each(|event| board.apply(event));
        let [slot] = board.slots() else { panic!("one slot") };
        let lives: Vec<u32> = slot.live.iter().map(|live| live.worker.life).collect();
        assert_eq!(lives, live);
        assert_eq!(slot.last.as_ref().map(|ended| ended.worker.life), last);
    }

    #[test]
    fn a_roll_shows_both_and_then_the_one_that_stayed() {
        check(&[started(1), started(2)], &[1, 2], None);
        check(&[started(1), started(2), ended(1, Next::Replaced)], &[2], None);
        check(&[started(1), started(2), ended(2, Next::NotNeeded)], &[1], None);
        check(&[started(1), ended(1, Next::Done)], &[], Some(1));
    }

    #[test]
    fn news_of_a_slot_that_there_is_not_changes_nothing() {
        let nowhere = WorkerId { slot: 9, life: 1 };
        check(&[Event::Ready { worker: nowhere }, Event::Ready { worker: worker(7) }], &[], None);
    }
}
