//! Opens a journal for writing: locks it, checks every row, and then begins a run.

use std::{path::Path, process, time::Duration};

use rusqlite::{Connection, OpenFlags};

use super::{
    append::WriteState,
    connection::{check_kind, connect, create, is_new, prepare},
    durability::{OnLost, Sync},
    error::{Error, Stopped},
    lock::Lock,
    path::Checked,
    record::{Attempted, Header, Run, Settled},
    recorded::{self, Recorded, State},
    row::{Stage, with_attempt},
    schema::ATTEMPTS,
    store::Store,
};

/// An open journal that only this process may write to, and its content.
#[derive(Debug)]
pub struct Opened {
    store: Store,
    runs: Vec<Run>,
    recorded: Recorded,
    was_empty: bool,
}

impl Opened {
    /// Opens a journal or creates it.
    ///
    /// # Errors
    /// Another process writes to the journal, the file is no journal or is damaged, or the system
    /// refused an operation.
    pub fn new(path: &Path, sync: Sync) -> Result<Self, Error> {
        let checked = Checked::new(path)?;
        let lock = Lock::take(path, &checked)?;
        let connection =
            connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE)?;
        let fault = |error| Error::new(path, "opened", &connection, error);
        if is_new(&connection).map_err(fault)? {
            create(&connection).map_err(fault)?;
        }
        check_kind(path, &connection)?;
        prepare(&connection, sync).map_err(fault)?;
        let (runs, recorded) = read(path, &connection)?;
        checked.confirm(path)?;
        let state = WriteState::new(&recorded, sync);
        let store = Store::new(path, connection, lock, state)?;
        Ok(Self { store, runs, recorded, was_empty: checked.is_empty })
    }

    /// Returns the runs recorded so far, in order.
    #[must_use]
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Returns what is recorded about the jobs.
    #[must_use]
    pub fn recorded(&self) -> &Recorded {
        &self.recorded
    }

    /// Returns whether the file existed and held nothing: it is new, or its content was lost.
    #[must_use]
    pub fn was_empty(&self) -> bool {
        self.was_empty
    }

    /// Returns the number of jobs that may have been running when the supervisor died.
    #[must_use]
    pub fn lost(&self) -> usize {
        self.recorded.open.len()
    }

    /// Records that a run begins, and that the attempts left running by an earlier run are lost.
    ///
    /// `started` is the time since the Unix epoch.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn begin(
        self,
        header: Header,
        started: Duration,
        on_lost: OnLost,
    ) -> Result<(Store, Recorded), Error> {
        let Self { mut store, runs, mut recorded, .. } = self;
        let run = Run {
            number: runs.len() as u64 + 1,
            started,
            pid: process::id(),
            version: env!("CARGO_PKG_VERSION").into(),
            sync: store.sync().name().into(),
            header,
            ended: None,
            status: None,
        };
        store.begin(run, |connection, rows| {
            let mut open: Vec<(u64, u64)> = recorded.open.drain().collect();
            open.sort_unstable();
            for (job, id) in open {
                lose(connection, rows, id, on_lost)?;
                *recorded.lost.entry(job).or_default() += 1;
                let index = usize::try_from(job - 1).ok();
                if let Some(state) = index.and_then(|index| recorded.states.get_mut(index)) {
                    *state = match on_lost {
                        OnLost::Rerun => State::Unfinished,
                        OnLost::Fail => State::Failed,
                    };
                }
            }
            Ok(())
        })?;
        recorded.sent = store.sent().clone();
        Ok((store, recorded))
    }
}

/// Records that the end of this attempt will never be known.
fn lose(
    connection: &Connection,
    rows: &mut WriteState,
    id: u64,
    on_lost: OnLost,
) -> Result<(), Stopped> {
    let settles = match on_lost {
        OnLost::Rerun => None,
        OnLost::Fail => Some(Settled::Failed),
    };
    let mut found = None;
    let select = ATTEMPTS.select_where("attempt = ?1");
    recorded::scan(connection, &ATTEMPTS, &select, &[id], |values| {
        found = Some(Attempted::read(values)?);
        Ok(())
    })?;
    let Some(Attempted { run, job, attempt, .. }) = found else { return Ok(()) };
    let stage = Stage::Ended(settles.as_ref());
    with_attempt((id, run, job), &attempt, stage, |values| {
        rows.update(connection, &ATTEMPTS, values)
    })?;
    rows.count_end(settles.is_some());
    if settles.is_some() {
        rows.unsend(connection, job)?;
    }
    Ok(())
}

/// Reads and checks every row.
pub(super) fn read(path: &Path, connection: &Connection) -> Result<(Vec<Run>, Recorded), Error> {
    recorded::read(connection).map_err(|stopped| Error::stopped(path, "read", connection, stopped))
}
