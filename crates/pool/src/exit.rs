//! How and why a process ended. [`Status`] is what the kernel reports, [`Evidence`] is everything
//! that is known about the end, and [`Cause`] is the verdict.

mod detail;
mod fault;
mod out_of_memory;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};
use text::units::show_size;

pub use self::{
    detail::Detail,
    fault::{PROTOCOL_VERSION, Pipe, ProtocolFault, StartFault, StartStep},
    out_of_memory::says_out_of_memory,
};
use crate::signal::Signal;

/// How a process ended, as the kernel reports it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// The signal.
        signal: Signal,
        /// Whether a core was dumped.
        core: bool,
    },
}

impl Status {
    /// The code that a shell shows: the exit code, or 128 plus the signal's number.
    #[must_use]
    pub fn shell_code(self) -> i32 {
        match self {
            Self::Code(code) => i32::from(code),
            Self::Signal { signal, .. } => 128 + signal.number(),
        }
    }

    /// The signal that ended it, if one did.
    #[must_use]
    pub fn signal(self) -> Option<Signal> {
        match self {
            Self::Code(_) => None,
            Self::Signal { signal, .. } => Some(signal),
        }
    }

    /// `SIGSEGV`, or `SIGSEGV, core dumped`; `None` for an exit.
    #[must_use]
    pub fn signal_text(self) -> Option<String> {
        match self {
            Self::Code(_) => None,
            Self::Signal { signal, core: false } => Some(signal.to_string()),
            Self::Signal { signal, core: true } => Some(format!("{signal}, core dumped")),
        }
    }

    /// Whether this is success: exit code 0.
    #[must_use]
    pub fn is_success(self) -> bool {
        self == Self::Code(0)
    }
}

/// Why a process ended. A closed list.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// It ended by itself, with the code in its status.
    Exit,
    /// A signal that the supervisor did not send ended it.
    Signal(Sender),
    /// It needed more memory than its limit allows, or than the machine had.
    Memory(Certainty),
    /// It used up its CPU time.
    CpuLimit,
    /// The program never ran.
    CouldNotStart(StartFault),
    /// Its job took too long, so the supervisor ended it.
    Timeout,
    /// It broke the worker protocol, so the supervisor ended it.
    Protocol(ProtocolFault),
    /// It ended because the supervisor asked it to.
    AskedToStop(StopRequest),
    /// It is gone, and another process collected its exit status.
    Unobserved,
}

/// Where a signal came from that the supervisor did not send.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// The kernel sent it for a fault of the program.
    Itself,
    /// Some process sent it. The kernel does not report which one; it may be the process itself.
    Outside,
}

/// How well the evidence supports a cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Certainty {
    /// Two independent signs agree.
    Sure,
    /// One sign.
    Likely,
}

/// A request to stop that a process received before it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct StopRequest {
    /// Why the supervisor stopped it.
    pub why: StopReason,
    /// Whether it was killed: after the grace period, after a second request, or at once.
    pub killed: bool,
}

/// Why the supervisor stops a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The run ends.
    Shutdown,
    /// A newer worker takes its place, in a roll.
    Roll,
    /// It has served long enough, by its number of jobs, its memory or its age.
    Recycle,
    /// It failed one job after another while other workers succeeded, or a job is to be retried in a
    /// fresh worker because this one failed it.
    Failing,
    /// It makes way for a fresh worker, in which a job that killed a worker is retried alone. The
    /// serialized name `second_opinion` dates from an earlier version; journals contain it.
    #[serde(rename = "second_opinion")]
    IsolatedRetry,
    /// Its job was cancelled.
    Cancelled,
    /// A user killed it by the control socket (`supervisor kill`).
    Killed,
    /// A user reduced the number of workers.
    Scale,
    /// There are no more jobs.
    Finished,
    /// Its job took too long.
    Timeout,
    /// It and all processes below it held more memory than the limit.
    Memory,
    /// It broke the protocol.
    Protocol(ProtocolFault),
}

/// Everything that is known about the end of a process before the pool judges it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// How it ended, as the kernel reports it.
    pub status: Status,
    /// Time from spawn to end.
    pub wall: Duration,
    /// User and system time of the process and the children that it waited for.
    pub cpu: Duration,
    /// User and system time of the process alone, which is what its CPU limit counts.
    pub own_cpu: Duration,
    /// The CPU time after which the kernel sends the signal that ended the process: the soft limit
    /// for SIGXCPU and the hard limit for SIGKILL. `None` if there is no limit, it is not known, or
    /// the process ended otherwise. It may be inherited, or set by the program itself.
    pub cpu_limit: Option<Duration>,
    /// The largest resident memory of the process or of any child it waited for.
    pub peak: Peak,
    /// Whether its last output to stderr says that memory ran out.
    pub says_out_of_memory: bool,
    /// Whether the kernel's OOM killer killed a process in the meantime, which may be this one.
    pub kernel_oom: bool,
    /// The names of its orphans: processes that it left behind and that the supervisor killed.
    pub left: Vec<String>,
}

/// The end of a worker's process, as far as the supervisor could observe it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessEnd {
    /// The program ran and ended.
    Ended(Evidence),
    /// The program was never executed: a step of its start failed.
    NeverStarted(StartFault),
    /// The pool withdrew the start before a process was created.
    Withdrawn,
    /// The program ran and is gone, but another process collected its exit status.
    Unobserved {
        /// The error number of the wait.
        errno: i32,
    },
}

impl ProcessEnd {
    /// The evidence, where the end was observed.
    #[must_use]
    pub fn evidence(&self) -> Option<&Evidence> {
        match self {
            Self::Ended(evidence) => Some(evidence),
            Self::NeverStarted(_) | Self::Withdrawn | Self::Unobserved { .. } => None,
        }
    }
}

/// The largest resident memory of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Peak {
    /// Its size, in bytes.
    pub bytes: u64,
    /// Whether this is the peak of the process itself. A new process inherits the peak of the
    /// image that spawned it, so a peak below that one is only an upper bound.
    pub exact: bool,
}

impl StopReason {
    /// Whether the worker is to blame for being stopped: it reached a limit or broke the protocol.
    #[must_use]
    pub fn is_charge(self) -> bool {
        matches!(self, Self::Timeout | Self::Memory | Self::Protocol(_))
    }
}

impl Peak {
    /// Raises the peak to a sample of this many bytes, if that is larger.
    pub fn raise(&mut self, bytes: u64) {
        if bytes > self.bytes {
            *self = Self { bytes, exact: true };
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exit => write!(f, "exit"),
            Self::Signal(Sender::Itself) => write!(f, "signal"),
            Self::Signal(Sender::Outside) => write!(f, "outside"),
            Self::Memory(Certainty::Sure) => write!(f, "memory (sure)"),
            Self::Memory(Certainty::Likely) => write!(f, "memory (likely)"),
            Self::CpuLimit => write!(f, "cpu limit"),
            Self::CouldNotStart(fault) => write!(f, "could not start: {fault}"),
            Self::Timeout => write!(f, "timeout"),
            Self::Protocol(fault) => write!(f, "protocol error: {fault}"),
            Self::Unobserved => write!(f, "unobserved"),
            Self::AskedToStop(StopRequest { why: StopReason::Killed, .. }) => {
                write!(f, "killed by a user")
            }
            Self::AskedToStop(StopRequest { killed: true, .. }) => {
                write!(f, "asked to stop: killed")
            }
            Self::AskedToStop(StopRequest { why, .. }) => match why {
                StopReason::Roll => write!(f, "asked to stop: rolled"),
                StopReason::Recycle => write!(f, "asked to stop: recycled"),
                StopReason::Failing => write!(f, "asked to stop: failed job after job"),
                StopReason::IsolatedRetry => write!(f, "asked to stop: for a fresh one"),
                StopReason::Cancelled => write!(f, "cancelled"),
                StopReason::Scale => write!(f, "asked to stop: scaled down"),
                StopReason::Finished => write!(f, "finished"),
                StopReason::Shutdown
                | StopReason::Killed
                | StopReason::Timeout
                | StopReason::Memory
                | StopReason::Protocol(_) => {
                    write!(f, "asked to stop")
                }
            },
        }
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.exact { "" } else { "< " };
        write!(f, "{below}{}", show_size(self.bytes))
    }
}
