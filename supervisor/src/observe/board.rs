//! The fold of all events of a run, from which snapshots, tables and progress are drawn. No view
//! keeps a count of its own.

use std::{collections::BTreeMap, time::Duration};

use super::{
    history::{History, Sample},
    settled::{Counts, Settled},
};
use pool::{
    event::{Ended, Event, Next, Progress, ShutdownReason, Tally, WorkerId},
    job::Outcome,
};
use records::names;

/// The state of a run, as its events tell it.
#[derive(Clone, Debug, Default)]
pub struct Board {
    slots: Vec<SlotView>,
    /// The wanted number of workers.
    workers: u32,
    jobs: Tally,
    /// Jobs among these whose ends could not be recorded.
    unrecorded: Tally,
    settled: Settled,
    history: History,
    /// The last progress that each live worker has reported.
    progress: BTreeMap<WorkerId, JobProgress>,
    stopping: Option<ShutdownReason>,
    is_paused: bool,
}

/// The progress of a job, as its worker last reported it.
#[derive(Clone, Debug)]
struct JobProgress {
    id: u64,
    attempt: u32,
    progress: Progress,
}

/// The state of a slot.
#[derive(Clone, Debug)]
pub struct SlotView {
    /// The slot's number, from 1.
    pub slot: u32,
    /// Its live workers, oldest first; two during a rolling restart.
    pub live: Vec<Live>,
    /// How the slot's last worker ended, unless a successor took the slot.
    pub last: Option<Ended>,
    /// Workers that were replaced, by the cause of their end.
    pub restarts: Counts<&'static str>,
}

/// A worker whose program was executed and that has not ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Live {
    /// The worker.
    pub worker: WorkerId,
    /// The process id.
    pub pid: i32,
    /// The state of the worker.
    pub state: State,
    /// When its program was executed, since the run began.
    pub since: Duration,
    /// Resident memory of its process tree, in bytes, if an observer had it measured.
    pub memory_bytes: Option<u64>,
}

/// The state of a live worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its program runs.
    Running,
    /// It speaks the worker protocol, or has stayed up for a while.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It was killed, but the kernel has not ended it.
    Unkillable,
}

/// Why a slot has no worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Vacancy {
    /// It has one.
    None,
    /// It waits for its next start.
    Waiting,
    /// Its workers crashed too often.
    GivenUp,
    /// Any other reason.
    Empty,
}

impl SlotView {
    /// Why the slot has no worker.
    #[must_use]
    pub fn vacancy(&self) -> Vacancy {
        match self.last.as_ref().map(|last| last.next) {
            _ if !self.live.is_empty() => Vacancy::None,
            Some(Next::Restart(_)) => Vacancy::Waiting,
            Some(Next::GaveUp) => Vacancy::GivenUp,
            _ => Vacancy::Empty,
        }
    }
}

impl Board {
    /// The board of a run with this many slots in which nothing has happened.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        let mut board = Self::default();
        board.scale(workers);
        board
    }

    /// Changes the wanted number of workers, and adds slots until there are as many.
    pub fn scale(&mut self, workers: u32) {
        self.workers = workers;
        let there = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        let view =
            |slot| SlotView { slot, live: Vec::new(), last: None, restarts: Counts::default() };
        self.slots.extend((there + 1..=workers).map(view));
    }

    /// The wanted number of workers.
    #[must_use]
    pub fn workers(&self) -> u32 {
        self.workers
    }

    /// The slots, in order of their numbers.
    #[must_use]
    pub fn slots(&self) -> &[SlotView] {
        &self.slots
    }

    /// The counters of jobs. A job whose end could not be recorded counts as not run.
    #[must_use]
    pub fn jobs(&self) -> Tally {
        let (jobs, lost) = (self.jobs, self.unrecorded);
        Tally {
            ok: jobs.ok.saturating_sub(lost.ok),
            failed: jobs.failed.saturating_sub(lost.failed),
            crashed: jobs.crashed.saturating_sub(lost.crashed),
            not_run: jobs.not_run + lost.settled(),
            ..jobs
        }
    }

    /// Takes out jobs whose ends could not be recorded: a run that continues this one runs them
    /// again.
    pub fn without(&mut self, unrecorded: Tally) {
        self.unrecorded = unrecorded;
    }

    /// The jobs that have ended.
    #[must_use]
    pub fn settled(&self) -> &Settled {
        &self.settled
    }

    /// Samples of the counters over time.
    #[must_use]
    pub fn history(&self) -> &History {
        &self.history
    }

    /// How far this attempt of a job is, if the worker that runs it has said so.
    #[must_use]
    pub fn progress(&self, worker: WorkerId, id: u64, attempt: u32) -> Option<&Progress> {
        let known = self.progress.get(&worker)?;
        (known.id == id && known.attempt == attempt).then_some(&known.progress)
    }

    /// Why the run stops; `None` while it does not.
    #[must_use]
    pub fn stopping(&self) -> Option<ShutdownReason> {
        self.stopping
    }

    /// Whether a user paused the run.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// Takes in jobs that have ended.
    pub fn settle(&mut self, now: Duration, outcomes: &[Outcome]) {
        self.settled.add(now, outcomes);
    }

    /// Notes the resident memory of a worker, in bytes.
    pub fn measured(&mut self, worker: WorkerId, bytes: u64) {
        if let Some(live) = self.live(worker) {
            live.memory_bytes = Some(bytes);
        }
    }

    /// Samples the counters if a sample is due; they have not changed since the last event.
    pub fn sample(&mut self, now: Duration) {
        if !self.history.is_due(now) {
            return;
        }
        let live = self.slots.iter().flat_map(|slot| &slot.live);
        let memory_bytes = live.filter_map(|live| live.memory_bytes).reduce(u64::saturating_add);
        let jobs = self.jobs();
        let (settled, failed) = (jobs.done(), jobs.failed + jobs.crashed);
        self.history.sample(now, Sample { at: now, settled, failed, memory_bytes });
    }

    /// Takes in an event.
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
            Event::Unkillable { worker } => self.set(*worker, State::Unkillable),
            Event::Ended(ended) => {
                self.progress.remove(&ended.worker);
                self.end(ended);
            }
            Event::Progress { worker, id, attempt, progress } => {
                let (id, attempt, progress) = (*id, *attempt, progress.clone());
                self.progress.insert(*worker, JobProgress { id, attempt, progress });
            }
            Event::Jobs(tally) => self.jobs = *tally,
            Event::ShuttingDown { reason } => self.stopping = Some(*reason),
            Event::Paused => self.is_paused = true,
            Event::Resumed => self.is_paused = false,
            Event::RollCancelled { .. } | Event::StillSilent { .. } | Event::Retried { .. } => {}
        }
    }

    /// The number of slots that were given up.
    #[must_use]
    pub fn given_up(&self) -> usize {
        self.slots.iter().filter(|slot| slot.vacancy() == Vacancy::GivenUp).count()
    }

    fn end(&mut self, ended: &Ended) {
        let Some(slot) = self.slot(ended.worker) else { return };
        slot.live.retain(|live| live.worker != ended.worker);
        if matches!(ended.next, Next::Restart(_) | Next::Replaced) {
            slot.restarts.add(names::cause(ended.cause));
        }
        // Another worker has the slot: this end is not the slot's last one.
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

    fn worker(generation: u32) -> WorkerId {
        WorkerId { slot: 1, generation }
    }

    fn started(generation: u32) -> Event {
        Event::Started { worker: worker(generation), pid: i32::try_from(generation).unwrap() }
    }

    fn ended(generation: u32, next: Next) -> Event {
        let fault = StartFault { step: StartStep::Exec, errno: libc::ENOENT };
        let cause = Cause::CouldNotStart(fault);
        Event::Ended(Ended { worker: worker(generation), pid: None, cause, evidence: None, next })
    }

    fn check(events: &[Event], live: &[u32], last: Option<u32>) {
        let mut board = Board::new(1);
        events.iter().for_each(|event| board.apply(Duration::ZERO, event));
        let [slot] = board.slots() else { panic!("one slot") };
        let generations: Vec<u32> = slot.live.iter().map(|live| live.worker.generation).collect();
        assert_eq!(generations, live);
        assert_eq!(slot.last.as_ref().map(|ended| ended.worker.generation), last);
    }

    #[test]
    fn a_roll_shows_both_workers_and_then_the_one_that_stayed() {
        check(&[started(1), started(2)], &[1, 2], None);
        check(&[started(1), started(2), ended(1, Next::Replaced)], &[2], None);
        check(&[started(1), started(2), ended(2, Next::NotNeeded)], &[1], None);
        check(&[started(1), ended(1, Next::Done)], &[], Some(1));
    }

    #[test]
    fn a_worker_that_is_replaced_is_counted_by_its_cause() {
        let mut board = Board::new(1);
        let again = |generation| ended(generation, Next::Restart(Duration::ZERO));
        let events = [started(1), again(1), started(2), again(2), started(3), ended(3, Next::Done)];
        events.iter().for_each(|event| board.apply(Duration::ZERO, event));
        let restarts: Vec<_> = board.slots()[0].restarts.iter().collect();
        assert_eq!(restarts, [("could_not_start", 2)]);
    }

    #[test]
    fn progress_belongs_to_one_attempt_and_ends_with_its_worker() {
        let mut board = Board::new(1);
        let half = Progress { permyriad: 5000, note: "half".into() };
        let event =
            Event::Progress { worker: worker(1), id: 7, attempt: 2, progress: half.clone() };
        [started(1), event].iter().for_each(|event| board.apply(Duration::ZERO, event));
        assert_eq!(board.progress(worker(1), 7, 2), Some(&half));
        assert_eq!(board.progress(worker(1), 7, 3), None);
        assert_eq!(board.progress(worker(1), 8, 2), None);
        board.apply(Duration::ZERO, &ended(1, Next::Done));
        assert_eq!(board.progress(worker(1), 7, 2), None);
    }

    #[test]
    fn a_sample_sums_the_memory_of_live_workers() {
        let mut board = Board::new(1);
        let at = Duration::from_secs;
        [started(1), started(2)].iter().for_each(|event| board.apply(at(0), event));
        board.sample(at(1));
        for (generation, bytes) in [(1, 10), (2, 5), (9, 3)] {
            board.measured(worker(generation), bytes);
        }
        board.apply(at(2), &ended(1, Next::Replaced));
        board.sample(at(3));
        let memory: Vec<_> = board.history().samples().map(|s| s.memory_bytes).collect();
        assert_eq!(memory, [None, Some(15), Some(5)]);
    }

    #[test]
    fn events_of_an_unknown_worker_change_nothing() {
        let unknown = WorkerId { slot: 9, generation: 1 };
        check(&[Event::Ready { worker: unknown }, Event::Ready { worker: worker(7) }], &[], None);
    }
}
