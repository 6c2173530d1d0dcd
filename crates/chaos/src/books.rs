//! The ledgers of a round, as plain data: what was submitted, what the jobs witnessed, what the
//! journal records and what the supervisor wrote to stdout; and the harm that was done.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::planted::Planted;

/// Everything that is known about a round.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) rules: Rules,
    /// The first ledger: the behaviour of each submitted job, by its number.
    pub(crate) submitted: BTreeMap<u64, Planted>,
    /// The second ledger: lines that the jobs wrote.
    pub(crate) witnessed: Vec<Witnessed>,
    /// The third ledger.
    pub(crate) journal: Journal,
    /// The fourth ledger: records that the reader of stdout received.
    pub(crate) reported: Vec<Reported>,
    /// The signals that were sent to workers, with the worker's process id.
    pub(crate) signals: Vec<(i32, Signal)>,
    /// The number of times that the supervisor was started.
    pub(crate) starts: usize,
}

/// The retry rules that the supervisor was given.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) retries: usize,
    pub(crate) crash_retries: usize,
    /// Whether a job that may have run when the supervisor died counts as failed and never starts
    /// again (`--on-lost fail`).
    pub(crate) lost_fails: bool,
}

/// A line that a job wrote when it started or ended.
#[derive(Clone, Debug)]
pub(crate) struct Witnessed {
    pub(crate) job: u64,
    /// Whether the line marks the end of the job, and not its start.
    pub(crate) is_end: bool,
    pub(crate) attempt: u32,
    pub(crate) pid: i32,
    pub(crate) supervisor: i32,
}

/// The contents of a journal.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The process ids of the supervisors, in order.
    pub(crate) runs: Vec<i32>,
    /// The numbers of the jobs, taken from their payloads, in order.
    pub(crate) jobs: Vec<u64>,
    pub(crate) attempts: Vec<Attempt>,
}

/// A row of the journal's table of attempts.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) job: u64,
    /// The number of the run, from 1.
    pub(crate) run: usize,
    pub(crate) number: u32,
    pub(crate) pid: i32,
    pub(crate) cause: Option<String>,
    pub(crate) settles: Option<String>,
}

/// A job's record on stdout.
#[derive(Clone, Debug)]
pub(crate) struct Reported {
    pub(crate) job: u64,
    pub(crate) status: String,
    /// Whether the record is marked as possibly repeated.
    pub(crate) again: bool,
}
