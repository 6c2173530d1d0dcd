//! What went wrong between a worker and us? A step of its start, or its talk.

use std::{fmt, io};

use protocol::wire::VERSION;
use worker::quantity::show_size;

use crate::limits::Resource;

/// How a worker broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pipe {
    /// It reads this one.
    Jobs,
    /// It writes to this one.
    Replies,
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
