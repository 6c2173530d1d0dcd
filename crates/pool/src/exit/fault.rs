//! Faults between the supervisor and a worker: failed steps of a start, and violations of the
//! worker protocol.

use std::{fmt, io};

use text::units::show_size;

use super::Detail;
use crate::{errno, limits::Resource};

/// The version of the worker protocol that the supervisor speaks.
pub const PROTOCOL_VERSION: u32 = 1;

/// How a worker broke the protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ProtocolFault {
    /// It sent no hello within the start timeout.
    Silence,
    /// What it sent cannot be understood, for the reason that the text gives.
    Invalid(Detail),
    /// Its first frame is not a hello. Only journals of earlier versions hold this; it is
    /// `Invalid` now.
    Hello,
    /// It speaks this version of the protocol, which the supervisor does not.
    Version(u32),
    /// It announced a frame of this many bytes, which is over the cap.
    FrameTooLong(u32),
    /// It closed this pipe and kept running.
    Closed(Pipe),
    /// It sent a frame that is not a message, for an unknown reason.
    Garbage,
    /// It replied to a job that is not the next one in its queue.
    WrongReply {
        /// The number of the job that it names.
        id: u64,
    },
    /// It replied to a job that it had answered before.
    SecondReply {
        /// The job's number.
        id: u64,
    },
    /// Its recorder holds an impossible value.
    Recorder,
}

/// The two pipes between the supervisor and a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pipe {
    /// The pipe that the worker reads.
    Jobs,
    /// The pipe that the worker writes to.
    Replies,
}

/// A failed step of a worker's start, before its program was executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub struct StartFault {
    /// The step that failed.
    pub step: StartStep,
    /// The kernel's error number; 0 if there is none.
    pub errno: i32,
}

/// The steps of a start.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub enum StartStep {
    /// Creating the pipes and the process.
    Spawn,
    /// Receiving the launch and its descriptors.
    Receive,
    /// Moving descriptors to their numbers.
    Descriptors,
    /// Giving the process a session of its own.
    Session,
    /// Entering the working directory.
    Directory,
    /// Setting this resource limit.
    Limit(Resource),
    /// Restoring the user's own limit of open files.
    OpenFiles,
    /// Making the kernel kill the process when the supervisor dies.
    ParentDeath,
    /// Setting `no_new_privs`.
    Privileges,
    /// Executing the program.
    Exec,
}

impl StartFault {
    /// A step that failed with this error.
    #[must_use]
    pub fn new(step: StartStep, error: &io::Error) -> Self {
        Self { step, errno: error.raw_os_error().unwrap_or(0) }
    }

    /// The kernel's reason, in words.
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

    /// Whether the same start may succeed a moment later: processes, memory or descriptors were
    /// short, the program's file was being written, or the exec helper was killed.
    #[must_use]
    pub fn is_transient(self) -> bool {
        [0, errno::EAGAIN, errno::ENOMEM, errno::EMFILE, errno::ENFILE, errno::ETXTBSY]
            .contains(&self.errno)
    }

    /// The exit status of a run that cannot start its program: 127 if it was not found, 126 if it
    /// cannot be executed, 125 for a failure before that.
    #[must_use]
    pub fn exit_status(self) -> u8 {
        match (self.step, self.errno) {
            (StartStep::Exec, errno::ENOENT | errno::ENOTDIR) => 127,
            (StartStep::Exec, _) => 126,
            _ => 125,
        }
    }
}

impl fmt::Display for ProtocolFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Silence => write!(f, "it did not speak"),
            Self::Invalid(detail) => write!(f, "{detail}"),
            Self::Hello => write!(f, "its first frame is no hello"),
            Self::Version(version) => {
                write!(
                    f,
                    "it speaks version {version}, and this supervisor version {PROTOCOL_VERSION}"
                )
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
            (StartStep::Exec, errno::ENOENT, 127),
            (StartStep::Exec, errno::ENOTDIR, 127),
            (StartStep::Exec, errno::EACCES, 126),
            (StartStep::Exec, errno::ENOEXEC, 126),
            (StartStep::Limit(Resource::OpenFiles), errno::EPERM, 125),
        ] {
            assert_eq!(StartFault { step, errno }.exit_status(), status);
        }
    }
}
