//! The rules that a user sets for a run: restarts, rolls, retries, prefetch, halts and recycling.

use std::time::Duration;

/// The rules for jobs.
#[derive(Clone, Debug)]
pub struct JobRules {
    /// The number of further attempts after a failure.
    pub retries: u32,
    /// The delay from the first failure to the next attempt. It doubles with each failure, up to
    /// 30 s.
    pub retry_delay: Duration,
    /// Which failures are followed by another attempt.
    pub retry_on: RetryOn,
    /// The number of isolated retries of a job that killed its worker, each alone in a fresh one.
    pub crash_retries: u32,
    /// Whether a job that was begun and did not end may be run again.
    pub repeats: Repeats,
    /// How long an attempt may take.
    pub timeout: Option<Duration>,
    /// How long the whole run may take.
    pub deadline: Option<Duration>,
    /// How many jobs a worker may have in flight.
    pub prefetch: Prefetch,
    /// The shortest time between two jobs that are sent.
    pub delay: Duration,
    /// Stops the run once enough jobs have ended in a given way.
    pub halt: Option<Halt>,
    /// How long a worker may take from its execution to its hello.
    pub start_timeout: Duration,
    /// When a worker is replaced by a fresh one.
    pub recycle: Recycle,
}

/// The restart intensity: when a slot is given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Intensity {
    /// The number of crashes of its workers, at least 1.
    pub crashes: u32,
    /// The time within which they must happen.
    pub period: Duration,
}

impl Default for Intensity {
    fn default() -> Self {
        Self { crashes: 10, period: Duration::from_secs(300) }
    }
}

/// Whether a job that was begun and did not end, through no fault of its own, may be run again.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum Repeats {
    /// It may.
    #[default]
    Allowed,
    /// This run may run it again. If the run ends, the job has failed, so that no later run does.
    ThisRunOnly,
    /// A job is begun at most once: one that was begun and did not end has failed.
    Never,
}

/// Which failures are tried again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryOn {
    /// An error that the worker returned.
    pub error: bool,
    /// A panic that the worker caught.
    pub panic: bool,
    /// A time limit that was reached.
    pub timeout: bool,
}

/// How many jobs a worker may have in flight: the running one and those that wait behind it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Prefetch {
    /// About a millisecond of work, by the measured time per job.
    Auto,
    /// As `Auto`, but at least two, so that the next job begins without waiting for the supervisor:
    /// for commands, which a launcher runs one after the other.
    Ahead,
    /// A fixed number of jobs.
    Fixed(u32),
}

impl Prefetch {
    /// The largest number of jobs in flight.
    pub const MAX: u32 = 1024;
}

/// Stops a run once enough jobs have ended in a given way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Halt {
    /// Whether running jobs are stopped too.
    pub now: bool,
    /// Which ends count.
    pub when: HaltWhen,
    /// The number of such ends that stops the run.
    pub count: HaltCount,
}

/// Which ends of jobs count for a [`Halt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltWhen {
    /// Jobs that failed or are in quarantine.
    Fail,
    /// Jobs that are done.
    Success,
    /// Both.
    Done,
}

/// The threshold of a [`Halt`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HaltCount {
    /// This number of ends.
    Number(u64),
    /// This percentage of the jobs that have ended, once three jobs have ended, as in GNU parallel.
    Percent(u64),
}

/// When a worker is replaced by a fresh one. The new one is ready before the old one ends.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Recycle {
    /// After this number of jobs.
    pub jobs: Option<u64>,
    /// Once its resident memory reaches this size, in bytes.
    pub resident_bytes: Option<u64>,
    /// Once it has been up for this time.
    pub age: Option<Duration>,
    /// Once it must be broken, because it fails one job after another.
    pub failures: RecycleFailures,
}

/// When a worker that fails one job after another is replaced.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub enum RecycleFailures {
    /// Once chance does not explain its failures, because other workers succeed.
    #[default]
    Auto,
    /// After this number of different jobs in a row, whatever other workers do.
    After(u32),
    /// Never.
    Never,
}

/// Whether a worker that ended is started again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Restart {
    /// Never.
    Never,
    /// If it failed: any end but exit code 0.
    OnFailure,
    /// Always.
    Always,
}

/// How workers are replaced one by one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Roll {
    /// The new worker is ready before the old one is asked to end.
    StartFirst,
    /// The old worker is gone before the new one starts: for programs that listen on a fixed port.
    StopFirst,
}
