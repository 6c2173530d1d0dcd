//! The state of the job at the head of a worker's queue: the job that it runs or will start next.
//!
//! All of it is one value, so that replacing the value resets everything when the head changes.

use std::time::Duration;

use super::super::input::Tick;
use crate::{hang::Hang, rules::JobRules};

/// The job at the head.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// When the job began, as far as the pool can observe that.
    pub(super) since: Tick,
    pub(super) limit: Limit,
    /// Whether this is an isolated retry: the job runs alone in a fresh worker.
    pub(super) is_isolated: bool,
    /// Whether the first examination, at half of the job's time limit, was requested.
    pub(super) is_examined: bool,
    /// The result of the second examination, at the time limit.
    pub(super) hang: Option<Box<Hang>>,
    /// The largest sample of the command's memory that was over the limit, in bytes.
    pub(super) overweight: Option<u64>,
}

/// Whether a job must end early.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Limit {
    #[default]
    NotReached,
    /// It reached its time limit. It may end by itself before `until`.
    TimedOut { until: Tick },
    /// A user cancelled it. It may end by itself before `until`.
    Cancelled { until: Tick },
}

impl Limit {
    /// When the worker is stopped unless the job has ended; `None` if the job need not end.
    pub(super) fn until(self) -> Option<Tick> {
        match self {
            Self::NotReached => None,
            Self::TimedOut { until } | Self::Cancelled { until } => Some(until),
        }
    }

    pub(super) fn is_cancelled(self) -> bool {
        matches!(self, Self::Cancelled { .. })
    }
}

impl Head {
    pub(super) fn begin(since: Tick) -> Self {
        Self { since, ..Self::default() }
    }

    /// The next deadline of the job: an examination, its time limit, or the stop of its worker.
    pub(super) fn deadline(&self, rules: &JobRules) -> Option<Tick> {
        let part = if self.is_examined { 1 } else { 2 };
        let limit = rules.timeout.map(|timeout| self.since + timeout / part);
        self.limit.until().or(limit)
    }

    /// Whether `1 / part` of the job's time limit has passed, and the job has not been asked to
    /// end.
    pub(super) fn is_past(&self, part: u32, timeout: Option<Duration>, now: Tick) -> bool {
        let timeout = timeout.filter(|_| self.limit == Limit::NotReached);
        timeout.is_some_and(|timeout| self.since + timeout / part <= now)
    }
}
