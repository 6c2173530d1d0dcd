//! The fold of all events, from which every view is drawn. No view keeps a count of its own.

use crate::event::{Ended, Event, Next, WorkerId};

/// What a run looks like now.
#[derive(Clone, Debug, Default)]
pub struct Board {
    rows: Vec<Row>,
}

/// What a slot looks like.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Row {
    /// Its last worker.
    pub worker: WorkerId,
    /// That worker's process.
    pub pid: Option<i32>,
    /// What the worker does.
    pub state: State,
    /// How many workers were started after the first.
    pub restarts: u32,
    /// The last end of a worker in this slot.
    pub last: Option<Ended>,
}

/// What a worker does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Its program is not yet executed.
    Starting,
    /// Its program runs.
    Running,
    /// And has run long enough to count on.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It is gone.
    Ended,
    /// It was killed, and the kernel holds it.
    Undead,
}

impl Board {
    /// A run of so many slots in which nothing has happened.
    #[must_use]
    pub fn new(workers: u32) -> Self {
        let row = |slot| Row {
            worker: WorkerId { slot, life: 1 },
            pid: None,
            state: State::Starting,
            restarts: 0,
            last: None,
        };
        Self { rows: (1..=workers).map(row).collect() }
    }

    /// Its slots, in order.
    #[must_use]
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Takes an event in.
    pub fn apply(&mut self, event: &Event) {
        match event {
            Event::Started { worker, pid } => {
                if let Some(row) = self.row(*worker) {
                    let restarts = worker.life - 1;
                    *row = Row {
                        worker: *worker,
                        pid: Some(*pid),
                        state: State::Running,
                        restarts,
                        last: row.last.take(),
                    };
                }
            }
            Event::Ready { worker } => self.set(*worker, State::Ready),
            Event::Stopping { worker, .. } => self.set(*worker, State::Stopping),
            Event::Undead { worker } => self.set(*worker, State::Undead),
            Event::Ended(ended) => {
                // While another worker has the slot, this is not how the slot ended up.
                if let Some(row) = self.row(ended.worker)
                    && ended.next != Next::Replaced
                {
                    row.worker = ended.worker;
                    row.pid = ended.pid;
                    row.state = State::Ended;
                    row.last = Some(ended.clone());
                }
            }
            Event::ShuttingDown { .. } | Event::RollCalledOff { .. } => {}
        }
    }

    fn set(&mut self, worker: WorkerId, state: State) {
        if let Some(row) = self.row(worker).filter(|row| row.worker == worker) {
            row.state = state;
        }
    }

    fn row(&mut self, worker: WorkerId) -> Option<&mut Row> {
        let index = usize::try_from(worker.slot).ok()?.checked_sub(1)?;
        self.rows.get_mut(index)
    }
}
