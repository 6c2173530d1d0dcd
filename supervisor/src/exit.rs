//! How did a process end, and why? [`Status`] is what the kernel reports, [`Cause`] is what we
//! make of it, [`Evidence`] is what we know when we judge.

use std::{fmt, io, time::Duration};

use memchr::memmem;
use worker::{quantity::show_size, wire::VERSION};

use crate::{limits::Resource, signal::Signal};

/// How a process ended, in the kernel's words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
}

/// How a worker broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ProtocolFault {
    /// It said nothing for as long as a start may take.
    Silence,
    /// Its first frame is no hello.
    Hello,
    /// It speaks this version of the protocol, and we do not.
    Version(u32),
    /// A frame announced this many bytes, more than any may have.
    FrameTooLong(u32),
    /// It closed this pipe, and went on living.
    Closed(Pipe),
    /// A frame that is no message.
    Garbage,
    /// A reply for another job than the one it had to do next.
    WrongReply {
        /// The job it names.
        id: u64,
    },
    /// A reply for a job that it had answered.
    SecondReply {
        /// Which.
        id: u64,
    },
    /// Its flight recorder holds what cannot be.
    Recorder,
}

/// The two pipes between a worker and us.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pipe {
    /// It reads this one.
    Jobs,
    /// It writes to this one.
    Replies,
}

/// Where a signal that was not ours came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Sender {
    /// A fault of its own: the kernel sends these for what the program did.
    Itself,
    /// Not us and not a fault. (The kernel does not tell who; a process may also kill itself.)
    Outside,
}

/// How well the evidence supports a cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Certainty {
    /// Two independent signs agree.
    Sure,
    /// One sign.
    Likely,
}

/// What we asked of a process that then ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Asked {
    /// Why.
    pub why: StopReason,
    /// Whether it had to be killed: it was still there after the grace period, or somebody asked
    /// once more.
    pub killed: bool,
}

/// Why a worker is asked to end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum StopReason {
    /// The run ends.
    Shutdown,
    /// A newer worker takes its place.
    Roll,
    /// It has served long enough: so many jobs, so much memory, or so much time.
    Recycle,
    /// A job that killed a worker is tried once more, in a fresh one.
    SecondOpinion,
    /// There are no more jobs.
    Finished,
    /// Its job took too long.
    Timeout,
    /// It broke the protocol.
    Protocol(ProtocolFault),
}

/// A step between the supervisor's decision and the program's first instruction that failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct StartFault {
    /// Which step.
    pub step: StartStep,
    /// The kernel's error number; 0 where it gave none.
    pub errno: i32,
}

/// The steps of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum StartStep {
    /// Making pipes and the process.
    Spawn,
    /// Receiving the launch and its descriptors.
    Receive,
    /// Putting descriptors in their places.
    Descriptors,
    /// Giving the process a session of its own.
    Session,
    /// Entering the working directory.
    Directory,
    /// Setting this resource limit.
    Limit(Resource),
    /// Restoring the user's own limit of open files.
    OpenFiles,
    /// Tying the process's life to the supervisor's.
    ParentDeath,
    /// Giving up new privileges.
    Privileges,
    /// Executing the program.
    Exec,
}

impl StartFault {
    /// A step that ended with this error.
    #[must_use]
    pub fn new(step: StartStep, error: &io::Error) -> Self {
        Self { step, errno: error.raw_os_error().unwrap_or(0) }
    }

    /// The kernel's reason in words.
    #[must_use]
    pub fn reason(self) -> String {
        match self.errno {
            0 => "it died on the way".into(),
            errno => {
                let text = io::Error::from_raw_os_error(errno).to_string();
                text.split(" (os error").next().unwrap_or(&text).into()
            }
        }
    }

    /// Whether the same start may well succeed a moment later: processes, memory or descriptors
    /// were short, the program's file was being written, or somebody killed the stub.
    #[must_use]
    pub fn is_transient(self) -> bool {
        [0, libc::EAGAIN, libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ETXTBSY]
            .contains(&self.errno)
    }

    /// The exit status of a run that cannot start its program: 127 not found, 126 found but
    /// not executable, 125 a failure before that.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match (self.step, self.errno) {
            (StartStep::Exec, libc::ENOENT | libc::ENOTDIR) => 127,
            (StartStep::Exec, _) => 126,
            _ => 125,
        }
    }
}

/// What is known of a process's end before it is judged.
#[derive(Clone, PartialEq, Eq, Debug)]
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
}

/// The largest resident memory of a process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peak {
    /// Bytes.
    pub bytes: u64,
    /// Whether this is its own. A new process inherits the peak of the image that spawned it,
    /// so below that figure all we know is that it used no more.
    pub exact: bool,
}

/// Whether a program's last words say that memory ran out: the runtimes' own messages.
#[must_use]
pub fn says_out_of_memory(last_words: &[u8]) -> bool {
    const WORDS: [&[u8]; 7] = [
        b"memory allocation of",
        b"MemoryError",
        b"OutOfMemoryError",
        b"out of memory",
        b"Out of memory",
        b"Cannot allocate memory",
        b"bad_alloc",
    ];
    WORDS.iter().any(|word| memmem::find(last_words, word).is_some())
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
            Self::AskedToStop(Asked { killed: true, .. }) => {
                write!(f, "asked to stop: killed")
            }
            Self::AskedToStop(Asked { why, .. }) => match why {
                StopReason::Roll => write!(f, "asked to stop: rolled"),
                StopReason::Recycle => write!(f, "asked to stop: recycled"),
                StopReason::SecondOpinion => write!(f, "asked to stop: for a fresh one"),
                StopReason::Finished => write!(f, "finished"),
                StopReason::Shutdown | StopReason::Timeout | StopReason::Protocol(_) => {
                    write!(f, "asked to stop")
                }
            },
        }
    }
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => write!(f, "it did not speak"),
            Self::Hello => write!(f, "its first frame is no hello"),
            Self::Version(version) => {
                write!(f, "it speaks version {version}, and this supervisor version {VERSION}")
            }
            Self::FrameTooLong(bytes) => {
                write!(f, "it announced a frame of {}", show_size(u64::from(*bytes)))
            }
            Self::Closed(Pipe::Jobs) => write!(f, "it closed the pipe of its jobs"),
            Self::Closed(Pipe::Replies) => write!(f, "it closed the pipe of its replies"),
            Self::Garbage => write!(f, "a frame that is no message"),
            Self::WrongReply { id } => {
                write!(f, "a reply for job {id}, which was not its next")
            }
            Self::SecondReply { id } => write!(f, "a second reply for job {id}"),
            Self::Recorder => write!(f, "its flight recorder holds what cannot be"),
        }
    }
}

impl fmt::Display for Peak {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let below = if self.exact { "" } else { "< " };
        write!(f, "{below}{}", show_size(self.bytes))
    }
}

impl fmt::Display for StartFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = match self.step {
            StartStep::Spawn => "spawn",
            StartStep::Receive => "receive the launch",
            StartStep::Descriptors => "arrange descriptors",
            StartStep::Session => "make a session",
            StartStep::Directory => "enter the working directory",
            StartStep::Limit(resource) => {
                return write!(f, "set the limit {}: {}", resource.name(), self.reason());
            }
            StartStep::OpenFiles => "restore the limit of open files",
            StartStep::ParentDeath => "tie its life to the supervisor's",
            StartStep::Privileges => "give up new privileges",
            StartStep::Exec => "execute",
        };
        write!(f, "{step}: {}", self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_fails_has_the_status_a_shell_would_give() {
        for (step, errno, status) in [
            (StartStep::Exec, libc::ENOENT, 127),
            (StartStep::Exec, libc::ENOTDIR, 127),
            (StartStep::Exec, libc::EACCES, 126),
            (StartStep::Exec, libc::ENOEXEC, 126),
            (StartStep::Limit(Resource::OpenFiles), libc::EPERM, 125),
        ] {
            assert_eq!(StartFault { step, errno }.exit_status(), status);
        }
    }
}
