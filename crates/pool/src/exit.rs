//! How did a process end, and why? [`Status`] is what the kernel reports, [`Cause`] is what we
//! make of it, [`Evidence`] is what we know when we judge.

mod fault;

use std::{fmt, time::Duration};

use memchr::memmem;
use serde::{Deserialize, Serialize};
use text::units::show_size;

pub use self::fault::{PROTOCOL_VERSION, Pipe, ProtocolFault, StartFault, StartStep};
use crate::signal::Signal;

/// How a process ended, in the kernel's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// Which one.
        signal: Signal,
        /// Whether a core was dumped.
        core: bool,
    },
}

impl Status {
    /// The code a shell shows: the exit code, or 128 + the signal's number.
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

    /// Whether it is what success looks like: exit code 0.
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
    /// A signal ended it that was not ours.
    Signal(Sender),
    /// It needed more memory than it may have.
    Memory(Certainty),
    /// It used up its CPU time.
    CpuLimit,
    /// The program never ran.
    CouldNotStart(StartFault),
    /// Its job took too long, so we ended it.
    Timeout,
    /// What it said was not the worker protocol, so we ended it.
    Protocol(ProtocolFault),
    /// It ended because we asked it to.
    AskedToStop(Asked),
    /// It is gone, and nobody knows how it ended: another process took its exit status.
    Unobserved,
}

/// Where a signal that was not ours came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sender {
    /// A fault of its own: the kernel sends these for what the program did.
    Itself,
    /// Not us and not a fault. (The kernel does not tell who; a process may also kill itself.)
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

/// What we asked of a process that then ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Asked {
    /// Why.
    pub why: StopReason,
    /// Whether it had to be killed: it was still there after the grace period, or somebody asked
    /// once more.
    pub killed: bool,
}

/// Why a worker is asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The run ends.
    Shutdown,
    /// A newer worker takes its place.
    Roll,
    /// It has served long enough: so many jobs, so much memory, or so much time.
    Recycle,
    /// A job that killed a worker is tried once more, in a fresh one.
    #[serde(rename = "second_opinion")]
    IsolatedRetry,
    /// Its job was cancelled.
    Cancelled,
    /// A user killed it by the control socket (`supervisor kill`).
    Killed,
    /// There shall be fewer workers.
    Scale,
    /// There are no more jobs.
    Finished,
    /// Its job took too long.
    Timeout,
    /// It held more memory than it may, with all that descends from it.
    Memory,
    /// It broke the protocol.
    Protocol(ProtocolFault),
}

/// What is known of a process's end before it is judged.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Evidence {
    /// The kernel's word.
    pub status: Status,
    /// From spawn to end.
    pub wall: Duration,
    /// User and system time, of the process and the children it waited for.
    pub cpu: Duration,
    /// Of the process alone, which is what its CPU limit counts.
    pub own_cpu: Duration,
    /// The largest resident memory of the process or of any child it waited for.
    pub peak: Peak,
    /// Whether its last output to stderr says that memory ran out.
    pub says_out_of_memory: bool,
    /// Whether the kernel killed a process for want of memory meanwhile, and this may be it.
    pub kernel_oom: bool,
    /// The names of processes that it left behind, and that were killed.
    pub left: Vec<String>,
}

/// The end of a worker's process, as far as the supervisor could observe it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ProcessEnd {
    /// The program ran and ended.
    Ended(Evidence),
    /// The program was never executed: a step of its start failed.
    NeverStarted(StartFault),
    /// The start was withdrawn before a process was made, because the pool asked for that.
    Withdrawn,
    /// The program ran and is gone, but another process took its exit status.
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
    /// Bytes.
    pub bytes: u64,
    /// Whether this is its own. A new process inherits the peak of the image that spawned it,
    /// so below that figure all we know is that it used no more.
    pub exact: bool,
}

/// Whether a program's last words, on stdout and on stderr, say that memory ran out: the runtimes'
/// own messages.
#[must_use]
pub fn says_out_of_memory([stdout, stderr]: [&[u8]; 2]) -> bool {
    /// What Java's own machine says there, of all places.
    const ON_STDOUT: &[u8] = b"There is insufficient memory for the Java Runtime Environment";
    const WORDS: [&[u8]; 7] = [
        b"memory allocation of",
        b"MemoryError",
        b"OutOfMemoryError",
        b"out of memory",
        b"Out of memory",
        b"Cannot allocate memory",
        b"bad_alloc",
    ];
    memmem::find(stdout, ON_STDOUT).is_some()
        || WORDS.iter().any(|word| memmem::find(stderr, word).is_some())
}

impl StopReason {
    /// Whether it is something we hold against the worker.
    #[must_use]
    pub fn is_charge(self) -> bool {
        matches!(self, Self::Timeout | Self::Memory | Self::Protocol(_))
    }
}

impl Peak {
    /// It was seen to hold so many.
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
            Self::AskedToStop(Asked { why: StopReason::Killed, .. }) => {
                write!(f, "killed by a user")
            }
            Self::AskedToStop(Asked { killed: true, .. }) => {
                write!(f, "asked to stop: killed")
            }
            Self::AskedToStop(Asked { why, .. }) => match why {
                StopReason::Roll => write!(f, "asked to stop: rolled"),
                StopReason::Recycle => write!(f, "asked to stop: recycled"),
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
