//! Rules by which a run is decided: restarts, rolls, retries, prefetch, halts and recycling.

use std::time::Duration;

/// What becomes of jobs.
#[derive(Clone, Debug)]
pub struct JobRules {
    /// Further attempts of a job that failed.
    pub retries: u32,
    /// From a failure to the next attempt, at first; twice as long each time, to 30 s.
    pub retry_delay: Duration,
    /// Which failures count for that.
    pub retry_on: RetryOn,
    /// Further attempts, alone in a fresh worker, of a job that killed its worker.
    pub crash_retries: u32,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How long the whole run may take.
    pub deadline: Option<Duration>,
    /// How many jobs a worker is sent at a time.
    pub prefetch: Prefetch,
    /// No two jobs are sent within this time.
    pub delay: Duration,
    /// When a run is stopped for how its jobs end.
    pub halt: Option<Halt>,
    /// How long a worker may take from its exec to its hello.
    pub start_timeout: Duration,
    /// When a worker is replaced by a fresh one.
    pub recycle: Recycle,
}

/// Which failures are tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryOn {
    /// An error that the worker gave back.
    pub error: bool,
    /// A panic that it caught.
    pub panic: bool,
    /// A time limit reached.
    pub timeout: bool,
}

/// How many jobs a worker is sent at a time: the running one and those that wait behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefetch {
    /// About a millisecond's work, by the time jobs take.
    Auto,
    /// The same, but always one more than the running one, so that the next begins without a
    /// word to us: for commands, of which any number may be begun but none sooner than the one
    /// before has ended.
    Ahead,
    /// Always so many.
    Fixed(u32),
}

impl Prefetch {
    /// More jobs than this are never sent ahead.
    pub const MAX: u32 = 1024;
}

/// Stops a run once so many jobs have ended in a way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halt {
    /// Whether running jobs are not waited for.
    pub now: bool,
    /// Which ends count.
    pub when: HaltWhen,
    /// How many of them.
    pub count: HaltCount,
}

/// Which ends of jobs count for a [`Halt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltWhen {
    /// Those that are not ok.
    Fail,
    /// Those that are.
    Success,
    /// All.
    Done,
}

/// How many ends make a [`Halt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltCount {
    /// So many.
    Number(u64),
    /// This share of those that have ended, in hundredths, once there are three, as GNU parallel
    /// has it.
    Percent(u64),
}

/// When a worker is replaced by a fresh one; the new one is ready before the old one is let go.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Recycle {
    /// After so many jobs.
    pub jobs: Option<u64>,
    /// Once its resident memory is so large, in bytes.
    pub resident_bytes: Option<u64>,
    /// Once it is so old.
    pub age: Option<Duration>,
}

/// When a worker that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Never.
    Never,
    /// When it failed: any end but exit code 0.
    OnFailure,
    /// Always.
    Always,
}

/// How workers are replaced one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roll {
    /// The new one is ready before the old one is asked to end.
    StartFirst,
    /// The old one is gone before the new one starts: for those who own a port.
    StopFirst,
}
