//! Appends batches of records to the tables. The writer keeps the state that the next records depend
//! on in memory, so that it never reads rows back, and so that each commit can state the totals that
//! the tables must have.

use std::{collections::HashMap, mem, time::Duration};

use rusqlite::{CachedStatement, Connection, types::ValueRef};

use pool::job::{Attempt, AttemptEnd};

use super::{
    checksum::write,
    durability::Sync,
    error::{Damage, Stopped},
    identity::Digest,
    record::{Record, Run, Settled},
    recorded::{Recorded, Totals},
    row::{Stage, int, with_attempt},
    schema::{ATTEMPTS, JOBS, RUNS, SENT, TOTALS, Table},
    sent::{Change, Ranges},
};

/// What the file contains, as far as the next records depend on it.
#[derive(Debug)]
pub(super) struct WriteState {
    pub(super) sync: Sync,
    pub(super) run: u64,
    pub(super) totals: Totals,
    pub(super) sent: Ranges,
    /// The rows of attempts that have no recorded end, by job.
    open: HashMap<u64, Open>,
    scratch: Vec<u8>,
}

/// The row of an attempt that has started.
#[derive(Debug)]
struct Open {
    id: u64,
    attempt: Attempt,
    /// Whether the job was requeued without being started; the next attempt takes this row.
    was_requeued: bool,
}

impl WriteState {
    pub(super) fn new(recorded: &Recorded, sync: Sync) -> Self {
        Self {
            sync,
            run: recorded.totals.runs,
            totals: recorded.totals,
            sent: recorded.sent.clone(),
            open: HashMap::new(),
            scratch: Vec::new(),
        }
    }

    /// Writes the totals of an empty journal.
    pub(super) fn create(connection: &Connection) -> rusqlite::Result<()> {
        Self::new(&Recorded::default(), Sync::Batch).put_totals(connection)
    }

    pub(super) fn put_totals(&mut self, connection: &Connection) -> rusqlite::Result<()> {
        let Totals { runs, jobs, attempts, ended, settles, sent } = self.totals;
        let counts = [1, runs, jobs, attempts, ended, settles, sent].map(int);
        self.put(connection, &TOTALS, &counts)
    }

    pub(super) fn put(
        &mut self,
        connection: &Connection,
        table: &Table,
        values: &[ValueRef<'_>],
    ) -> rusqlite::Result<()> {
        write(&mut *connection.prepare_cached(&table.sql().put)?, table, values, &mut self.scratch)
    }

    pub(super) fn update(
        &mut self,
        connection: &Connection,
        table: &Table,
        values: &[ValueRef<'_>],
    ) -> rusqlite::Result<()> {
        write(
            &mut *connection.prepare_cached(&table.sql().update)?,
            table,
            values,
            &mut self.scratch,
        )
    }

    /// Writes the row of a run.
    pub(super) fn put_run(&mut self, connection: &Connection, run: &Run) -> rusqlite::Result<()> {
        run.write(|values| self.put(connection, &RUNS, values))
    }

    pub(super) fn count_end(&mut self, settles: bool) {
        self.totals.ended += 1;
        self.totals.settles += u64::from(settles);
    }

    fn next_attempt(&mut self) -> u64 {
        self.totals.attempts += 1;
        self.totals.attempts
    }

    /// Refuses records of a job that is not in the file: no reader would find them.
    fn check_job(&self, job: u64) -> Result<(), Damage> {
        let is_there = (1..=self.totals.jobs).contains(&job);
        is_there.then_some(()).ok_or_else(|| Damage::file(&format!("there is no job {job}")))
    }

    /// Marks the outcome of this job as not written, because the job has a new one.
    pub(super) fn unsend(&mut self, connection: &Connection, job: u64) -> Result<(), Stopped> {
        self.change_sent(connection, |sent, changes| sent.remove(job, |c| changes.push(c)))
    }

    fn change_sent(
        &mut self,
        connection: &Connection,
        change: impl FnOnce(&mut Ranges, &mut Vec<Change>),
    ) -> Result<(), Stopped> {
        let mut changes = Vec::new();
        let mut sent = mem::take(&mut self.sent);
        change(&mut sent, &mut changes);
        self.sent = sent;
        for change in changes {
            match change {
                Change::Put(first, last) => {
                    self.put(connection, &SENT, &[int(first), int(last)])?;
                }
                Change::Gone(first) => {
                    let first = i64::try_from(first).unwrap_or(i64::MAX);
                    connection.prepare_cached(&SENT.sql().delete)?.execute([first])?;
                }
            }
        }
        self.totals.sent = self.sent.count();
        Ok(())
    }
}

/// The records of one transaction.
struct Batch<'a> {
    connection: &'a Connection,
    state: &'a mut WriteState,
    jobs: CachedStatement<'a>,
    attempts: CachedStatement<'a>,
    ends: CachedStatement<'a>,
    /// Attempts that start in this batch. If one also ends in it, only its end is written.
    begun: Vec<Option<(u64, Attempt)>>,
    begun_at: HashMap<u64, usize>,
}

/// Writes the records as rows.
pub(super) fn append<'a>(
    connection: &Connection,
    state: &mut WriteState,
    records: impl IntoIterator<Item = &'a Record>,
) -> Result<(), Stopped> {
    let mut batch = Batch {
        connection,
        state,
        jobs: connection.prepare_cached(&JOBS.sql().insert)?,
        attempts: connection.prepare_cached(&ATTEMPTS.sql().insert)?,
        ends: connection.prepare_cached(&ATTEMPTS.sql().update)?,
        begun: Vec::new(),
        begun_at: HashMap::new(),
    };
    for record in records {
        match record {
            Record::Job { job, digest, position, payload } => {
                batch.job(*job, digest, *position, payload.as_bytes())?;
            }
            Record::Started { job, number, worker, pid, began } => {
                let (took, peak_bytes, end) = (Duration::ZERO, None, AttemptEnd::Lost);
                let (number, worker, pid, began) = (*number, *worker, *pid, *began);
                let attempt =
                    Attempt { number, worker, pid, began, took, peak_bytes, hang: None, end };
                batch.started(*job, attempt)?;
            }
            Record::Ended { job, attempt, settles } => {
                batch.ended(*job, attempt, settles.as_ref())?;
            }
            Record::Requeued { job } => batch.requeued(*job)?,
            Record::Sent { first, last } => batch.sent(*first, *last)?,
        }
    }
    batch.finish()
}

impl Batch<'_> {
    fn job(
        &mut self,
        job: u64,
        digest: &Digest,
        position: u64,
        payload: &[u8],
    ) -> Result<(), Stopped> {
        self.state.totals.jobs += 1;
        if job != self.state.totals.jobs {
            return Err(Damage::file(&format!("job {job} is out of order")).into());
        }
        let (digest, payload) = (ValueRef::Blob(digest.as_bytes()), ValueRef::Blob(payload));
        let values = [int(job), int(self.state.run), int(position), digest, payload];
        Ok(write(&mut self.jobs, &JOBS, &values, &mut self.state.scratch)?)
    }

    fn started(&mut self, job: u64, attempt: Attempt) -> Result<(), Stopped> {
        self.state.check_job(job)?;
        self.begun_at.insert(job, self.begun.len());
        self.begun.push(Some((job, attempt)));
        Ok(())
    }

    fn ended(
        &mut self,
        job: u64,
        attempt: &Attempt,
        settles: Option<&Settled>,
    ) -> Result<(), Stopped> {
        self.state.check_job(job)?;
        if let Some(at) = self.begun_at.remove(&job) {
            self.begun[at] = None;
        }
        let open = self.state.open.remove(&job);
        let was_counted = open.as_ref().is_some_and(|open| open.was_requeued);
        let (statement, id) = match open {
            Some(open) => (&mut self.ends, open.id),
            None => (&mut self.attempts, self.state.next_attempt()),
        };
        let scratch = &mut self.state.scratch;
        with_attempt((id, self.state.run, job), attempt, Stage::Ended(settles), |values| {
            write(statement, &ATTEMPTS, values, scratch)
        })?;
        self.state.totals.ended -= u64::from(was_counted);
        self.state.count_end(settles.is_some());
        if settles.is_some() && self.state.sent.contains(job) {
            self.state.unsend(self.connection, job)?;
        }
        Ok(())
    }

    fn requeued(&mut self, job: u64) -> Result<(), Stopped> {
        if let Some(at) = self.begun_at.remove(&job) {
            self.begun[at] = None;
        }
        let Some(open) = self.state.open.get_mut(&job).filter(|open| !open.was_requeued) else {
            return Ok(());
        };
        open.was_requeued = true;
        let (statement, scratch) = (&mut self.ends, &mut self.state.scratch);
        let row = (open.id, self.state.run, job);
        with_attempt(row, &open.attempt, Stage::NotBegun, |values| {
            write(statement, &ATTEMPTS, values, scratch)
        })?;
        self.state.totals.ended += 1;
        Ok(())
    }

    fn sent(&mut self, first: u64, last: u64) -> Result<(), Stopped> {
        if first > last {
            return Ok(());
        }
        self.state.check_job(first)?;
        self.state.check_job(last)?;
        let add = |sent: &mut Ranges, changes: &mut Vec<_>| {
            sent.add(first, last, |change| changes.push(change));
        };
        self.state.change_sent(self.connection, add)
    }

    fn finish(mut self) -> Result<(), Stopped> {
        for (job, attempt) in mem::take(&mut self.begun).into_iter().flatten() {
            let before = self.state.open.remove(&job);
            let (statement, id) = match &before {
                Some(open) => (&mut self.ends, open.id),
                None => (&mut self.attempts, self.state.next_attempt()),
            };
            let scratch = &mut self.state.scratch;
            with_attempt((id, self.state.run, job), &attempt, Stage::Running, |values| {
                write(statement, &ATTEMPTS, values, scratch)
            })?;
            let was_counted = before.is_some_and(|open| open.was_requeued);
            self.state.totals.ended -= u64::from(was_counted);
            self.state.open.insert(job, Open { id, attempt, was_requeued: false });
        }
        Ok(())
    }
}
