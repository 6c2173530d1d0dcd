//! The ledgers, as they are compared: what was submitted, what the jobs witnessed, what the journal
//! says and what was put out; and what was done to whom. Plain data.

use std::collections::BTreeMap;

use nix::sys::signal::Signal;

use crate::planted::Planted;

/// All that is known of a round.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) rules: Rules,
    /// The first ledger: jobs by number.
    pub(crate) submitted: BTreeMap<u64, Planted>,
    /// The second.
    pub(crate) witnessed: Vec<Witnessed>,
    /// The third.
    pub(crate) journal: Journal,
    /// What its reader got of it.
    pub(crate) shown: Vec<Shown>,
    /// Signals that were sent to workers, by PID.
    pub(crate) signals: Vec<(i32, Signal)>,
    /// How often the supervisor was started.
    pub(crate) starts: usize,
}

/// The budgets of the run.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Rules {
    pub(crate) retries: usize,
    pub(crate) crash_retries: usize,
    /// A job that may have run when the supervisor died has failed, and is never begun again.
    pub(crate) lost_fails: bool,
}

/// A line of the jobs' own.
#[derive(Clone, Debug)]
pub(crate) struct Witnessed {
    pub(crate) job: u64,
    /// Else its start.
    pub(crate) is_end: bool,
    pub(crate) attempt: u32,
    pub(crate) pid: i32,
    pub(crate) supervisor: i32,
}

/// What a journal says.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    /// The supervisors, in order.
    pub(crate) runs: Vec<i32>,
    /// The numbers of the jobs by their payloads, in order.
    pub(crate) jobs: Vec<u64>,
    pub(crate) attempts: Vec<Attempt>,
}

/// A row of its attempts.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    pub(crate) job: u64,
    /// From 1.
    pub(crate) run: usize,
    pub(crate) number: u32,
    pub(crate) pid: i32,
    pub(crate) cause: Option<String>,
    pub(crate) settles: Option<String>,
}

/// A record on stdout.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) job: u64,
    pub(crate) status: String,
    /// It may have been put out before.
    pub(crate) again: bool,
}
