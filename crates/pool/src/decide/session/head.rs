//! Facts about the job at the head of a worker's queue: the one that it runs, or is about to run.
//!
//! They are one value, so that dropping it when the job leaves the head resets them all.

use std::time::Duration;

use super::super::input::Tick;
use crate::{hang::Hang, rules::JobRules};

/// The job at the head.
#[derive(Debug, Default)]
pub(super) struct Head {
    /// When the job began, as far as the pool knows.
    pub(super) since: Tick,
    pub(super) limit: Limit,
    /// The job has crashed before, and runs alone in a fresh worker.
    pub(super) is_isolated: bool,
    /// The first look at what the job does, at half its time, was taken.
    pub(super) is_examined: bool,
    /// What the second look found, when the job's time was over.
    pub(super) hang: Option<Box<Hang>>,
    /// How many bytes the job's command was seen to hold, where that was over the limit.
    pub(super) overweight: Option<u64>,
}

/// Whether a job is to end early.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Limit {
    #[default]
    NotReached,
    /// Its time is over. It may end by itself until then.
    TimedOut { until: Tick },
    /// A user cancelled it. It may end by itself until then.
    Cancelled { until: Tick },
}

impl Limit {
    /// The job may end by itself until then; `None` where it need not end.
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

    /// When something is due about the job: a look at what it does, or its end.
    pub(super) fn deadline(&self, rules: &JobRules) -> Option<Tick> {
        let part = if self.is_examined { 1 } else { 2 };
        let limit = rules.timeout.map(|timeout| self.since + timeout / part);
        self.limit.until().or(limit)
    }

    /// Whether a share of the job's time is over, one part in `part`, and it need not end yet.
    pub(super) fn is_past(&self, part: u32, timeout: Option<Duration>, now: Tick) -> bool {
        let timeout = timeout.filter(|_| self.limit == Limit::NotReached);
        timeout.is_some_and(|timeout| self.since + timeout / part <= now)
    }
}
