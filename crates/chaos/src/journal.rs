//! Reads the third ledger, the journal, with plain SQL and no code of the supervisor.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, Row};

use crate::{
    Fault,
    books::{Attempt, Journal},
};

const RUNS: &str = "SELECT pid FROM runs ORDER BY run";
const JOBS: &str = "SELECT CAST(payload AS TEXT) FROM jobs ORDER BY job";
const ATTEMPTS: &str = "SELECT CAST(jobs.payload AS TEXT), attempts.run, attempts.number, \
    attempts.pid, attempts.cause, attempts.settles \
    FROM attempts LEFT JOIN jobs ON jobs.job = attempts.job ORDER BY attempts.attempt";

/// Reads the whole journal.
pub(crate) fn read(path: &Path) -> Result<Journal, Fault> {
    let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let payloads: Vec<String> = all(&connection, JOBS, |row| row.get(0))?;
    let rows = all(&connection, ATTEMPTS, |row| Ok((row.get::<_, String>(0)?, attempt(row)?)))?;
    let attempts = rows.into_iter().map(|(payload, attempt)| {
        let job = number(&payload)?;
        Ok::<_, Fault>(Attempt { job, ..attempt })
    });
    Ok(Journal {
        runs: all(&connection, RUNS, |row| row.get(0))?,
        jobs: payloads.iter().map(|payload| number(payload)).collect::<Result<_, _>>()?,
        attempts: attempts.collect::<Result<_, _>>()?,
    })
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> rusqlite::Result<Vec<T>> {
    connection.prepare(sql)?.query_map([], read)?.collect()
}

fn attempt(row: &Row<'_>) -> rusqlite::Result<Attempt> {
    Ok(Attempt {
        job: 0,
        run: usize::try_from(row.get::<_, u32>(1)?).unwrap_or(usize::MAX),
        number: row.get(2)?,
        pid: row.get(3)?,
        cause: row.get(4)?,
        settles: row.get(5)?,
    })
}

/// The number of the job, with which its payload begins.
fn number(payload: &str) -> Result<u64, Fault> {
    let number = payload.split(' ').next().and_then(|number| number.parse().ok());
    number.ok_or_else(|| {
        format!("the journal has a job that this program did not submit: `{payload}`").into()
    })
}
