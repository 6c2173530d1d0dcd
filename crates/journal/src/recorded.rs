//! Reads the content of a journal and checks every row.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{
    checksum::Values,
    error::{Damage, Stopped},
    identity::Digest,
    record::Run,
    row::NOT_BEGUN,
    schema::{ATTEMPTS, JOBS, RUNS, SENT, TOTALS, Table},
    sent::Ranges,
};

/// State of a job.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum State {
    /// The job was never begun.
    #[default]
    Waiting,
    /// The job was begun, has no outcome, and no attempt is in progress.
    Unfinished,
    /// An attempt has started whose end is not recorded: it is in progress, or was lost when the
    /// supervisor died.
    Running,
    /// The job succeeded.
    Ok,
    /// The job failed and is not retried.
    Failed,
    /// The job crashed its workers and is quarantined.
    Crashed,
}

impl State {
    /// Whether the job has an outcome.
    #[must_use]
    pub fn is_settled(self) -> bool {
        matches!(self, Self::Ok | Self::Failed | Self::Crashed)
    }
}

/// What a journal contains about its jobs.
#[derive(Debug, Default)]
pub struct Recorded {
    /// Digest and number of each job; 24 bytes per job.
    pub digests: Vec<(Digest, u64)>,
    /// State of each job; job 1 is at index 0.
    pub states: Vec<State>,
    /// Number of attempts that were lost when the supervisor died, by job; jobs without are absent.
    pub lost: HashMap<u64, u32>,
    /// Jobs whose outcome has been written.
    pub sent: Ranges,
    /// Rows of attempts whose end is not recorded, by job.
    pub(super) open: HashMap<u64, u64>,
    pub(super) totals: Totals,
}

impl Recorded {
    /// Returns the state of a job; `None` if there is no job with this number.
    #[must_use]
    pub fn state(&self, job: u64) -> Option<State> {
        let index = usize::try_from(job).ok()?.checked_sub(1)?;
        self.states.get(index).copied()
    }
}

/// Numbers of rows, as the table `totals` states them.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Totals {
    pub(super) runs: u64,
    pub(super) jobs: u64,
    pub(super) attempts: u64,
    pub(super) ended: u64,
    pub(super) settles: u64,
    pub(super) sent: u64,
}

/// Reads all rows of a query in order. If the file is corrupt, the error names the row after the
/// last one that could be read.
pub(super) fn scan(
    connection: &Connection,
    table: &'static Table,
    sql: &str,
    parameters: &[u64],
    mut each: impl FnMut(&Values<'_>) -> Result<(), Damage>,
) -> Result<(), Stopped> {
    let mut statement = connection.prepare_cached(sql)?;
    for (index, parameter) in parameters.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, i64::try_from(*parameter).unwrap_or(i64::MAX))?;
    }
    let mut rows = statement.raw_query();
    let (mut scratch, mut last) = (Vec::new(), None);
    loop {
        match rows.next() {
            Ok(None) => return Ok(()),
            Ok(Some(row)) => {
                let values = Values::read(table, row, &mut scratch)?;
                last = Some(values.int::<i64>(0)?);
                each(&values)?;
            }
            Err(error) if is_broken(&error) => {
                let key = last.map_or(1, |last| last.saturating_add(1));
                return Err(
                    Damage::row(table, Some(key), format!("cannot be read: {error}")).into()
                );
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Checks each row of a table, and continues after a damaged one.
pub(super) fn check(
    connection: &Connection,
    table: &'static Table,
    most: usize,
    found: &mut Vec<Damage>,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&table.sql().select)?;
    let mut rows = statement.raw_query();
    let mut scratch = Vec::new();
    while found.len() < most {
        match rows.next() {
            Ok(None) => break,
            Ok(Some(row)) => found.extend(Values::read(table, row, &mut scratch).err()),
            Err(error) if is_broken(&error) => {
                found.push(Damage::row(table, None, format!("cannot be read: {error}")));
                break;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(super) fn is_broken(error: &rusqlite::Error) -> bool {
    error.sqlite_error_code() == Some(rusqlite::ErrorCode::DatabaseCorrupt)
}

/// Reads a table whose keys must be 1, 2, 3 and so on; returns the number of rows.
fn scan_numbered(
    connection: &Connection,
    table: &'static Table,
    mut each: impl FnMut(u64, &Values<'_>) -> Result<(), Damage>,
) -> Result<u64, Stopped> {
    let mut count = 0;
    scan(connection, table, &table.sql().select, &[], |values| {
        count += 1;
        if values.int::<u64>(0)? != count {
            return Err(missing(table, count));
        }
        each(count, values)
    })?;
    Ok(count)
}

fn missing(table: &Table, row: u64) -> Damage {
    Damage::row(table, i64::try_from(row).ok(), "is missing")
}

/// Reads and checks all tables.
pub(super) fn read(connection: &Connection) -> Result<(Vec<Run>, Recorded), Stopped> {
    let mut recorded = Recorded::default();
    let expected = totals(connection)?;
    let mut runs = Vec::new();
    let mut found = Totals {
        runs: scan_numbered(connection, &RUNS, |_, values| {
            runs.push(Run::read(values)?);
            Ok(())
        })?,
        jobs: scan_numbered(connection, &JOBS, |job, values| {
            let digest = Digest::from_bytes(values.blob(3)?);
            recorded.digests.push((digest.ok_or_else(|| values.unreadable(3))?, job));
            Ok(())
        })?,
        ..Totals::default()
    };
    recorded.states = vec![State::default(); recorded.digests.len()];
    found.attempts = scan_numbered(connection, &ATTEMPTS, |id, values| {
        attempt(id, values, &mut recorded, &mut found)
    })?;
    scan(connection, &SENT, &SENT.sql().select, &[], |values| {
        let (first, last) = (values.int(0)?, values.int(1)?);
        let fits = last <= found.jobs && recorded.sent.append(first, last);
        fits.then_some(()).ok_or_else(|| values.unreadable(1))
    })?;
    found.sent = recorded.sent.count();
    compare(&found, &expected)?;
    recorded.totals = found;
    Ok((runs, recorded))
}

fn attempt(
    id: u64,
    values: &Values<'_>,
    recorded: &mut Recorded,
    found: &mut Totals,
) -> Result<(), Damage> {
    let job: u64 = values.int(2)?;
    let cause = values.maybe_text(10)?;
    let state = match (cause, values.maybe_text(11)?) {
        (None, _) => State::Running,
        (_, None) => State::Unfinished,
        (_, Some("ok")) => State::Ok,
        (_, Some("failed")) => State::Failed,
        (_, Some("crashed")) => State::Crashed,
        (_, Some(_)) => return Err(values.unreadable(11)),
    };
    let index = usize::try_from(job).ok().and_then(|job| job.checked_sub(1));
    let place = index.and_then(|index| recorded.states.get_mut(index));
    let place = place.ok_or_else(|| values.unreadable(2))?;
    // A start that was taken back says nothing about the job.
    if cause != Some(NOT_BEGUN) {
        *place = state;
    }
    found.ended += u64::from(cause.is_some());
    found.settles += u64::from(state.is_settled());
    match cause {
        None => drop(recorded.open.insert(job, id)),
        Some("lost") => *recorded.lost.entry(job).or_default() += 1,
        Some(_) => {}
    }
    Ok(())
}

fn totals(connection: &Connection) -> Result<Totals, Stopped> {
    let mut totals = None;
    scan(connection, &TOTALS, &TOTALS.sql().select, &[], |values| {
        totals = Some(Totals {
            runs: values.int(1)?,
            jobs: values.int(2)?,
            attempts: values.int(3)?,
            ended: values.int(4)?,
            settles: values.int(5)?,
            sent: values.int(6)?,
        });
        Ok(())
    })?;
    Ok(totals.ok_or_else(|| missing(&TOTALS, 1))?)
}

/// Checks the number of attempts that were found.
pub(super) fn check_attempts(connection: &Connection, found: u64) -> Result<(), Stopped> {
    let expected = totals(connection)?.attempts;
    let what = format!("{found} attempts were found of {expected}");
    Ok((found == expected).then_some(()).ok_or_else(|| Damage::file(&what))?)
}

/// Compares the numbers of rows with the totals: rows missing at the end of a table leave no gap.
fn compare(found: &Totals, expected: &Totals) -> Result<(), Damage> {
    for (table, found, expected) in [
        (&RUNS, found.runs, expected.runs),
        (&JOBS, found.jobs, expected.jobs),
        (&ATTEMPTS, found.attempts, expected.attempts),
    ] {
        if found < expected {
            return Err(missing(table, found + 1));
        }
    }
    if found != expected {
        return Err(Damage::file(&format!(
            "the numbers of rows differ from the table totals: {found:?} instead of {expected:?}"
        )));
    }
    Ok(())
}
