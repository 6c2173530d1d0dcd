//! The connection of a worker to its supervisor.
//!
//! The variable `SUPERVISOR_WIRE` names the worker's process id and three descriptors. Over them
//! the two ends exchange hellos.

use std::{
    env, fmt,
    fs::File,
    io::{self, Read, Write},
    os::fd::{AsFd, OwnedFd, RawFd},
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use protocol::{
    codec::{CodecError, HELLO_BYTES_MAX, WIRE_BYTES_MAX},
    frame::{self, FrameTooLong, HEADER_BYTES},
    recorder::RecorderWriter,
    wire::{Codec, RECORDER, SupervisorHello, VARIABLE, VERSION, WorkerHello},
};

use crate::sys;

/// Why a worker cannot start or continue.
#[derive(thiserror::Error)]
pub enum ServeError {
    /// No supervisor started this process.
    #[error("this program is a worker: start it with `supervisor run -a JOBS PROGRAM`")]
    NotAWorker,
    /// This process is already connected.
    #[error("this process serves its supervisor already")]
    Twice,
    /// The value of the variable is malformed.
    #[error("{VARIABLE} is `{0}`, not PID:JOBS:REPLIES:RECORDER")]
    Variable(String),
    /// A descriptor that the variable names cannot be used.
    #[error("descriptor {number} of {VARIABLE}: {reason}")]
    Descriptor {
        /// The number of the descriptor.
        number: RawFd,
        /// The error of the system call.
        reason: io::Error,
    },
    /// The supervisor speaks this other version of the protocol.
    #[error("the supervisor speaks version {0} of the protocol, this worker version {VERSION}")]
    Version(u32),
    /// The supervisor does not know the codec that this library uses.
    #[error("the supervisor does not read bincode")]
    NoBincode,
    /// The supervisor has exited or closed its end of the pipes.
    #[error("the supervisor is gone")]
    Gone,
    /// The worker sent a reply while no job was running.
    #[error("a reply without a job")]
    NoJob,
    /// A message from the supervisor cannot be decoded, or one to it cannot be encoded.
    #[error("on the wire: {0}")]
    Codec(CodecError),
    /// A pipe cannot be read or written.
    #[error("on the wire: {0}")]
    Io(io::Error),
}

// The message repeats the error, so the error is no source as well.
impl From<CodecError> for ServeError {
    fn from(error: CodecError) -> Self {
        Self::Codec(error)
    }
}

/// Same as [`fmt::Display`], because a `main` that returns the error prints it with `Debug`.
impl fmt::Debug for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<io::Error> for ServeError {
    fn from(fault: io::Error) -> Self {
        match fault.kind() {
            io::ErrorKind::BrokenPipe => Self::Gone,
            _ => Self::Io(fault),
        }
    }
}

impl From<FrameTooLong> for ServeError {
    fn from(fault: FrameTooLong) -> Self {
        Self::Codec(fault.into())
    }
}

/// Returns whether a supervisor started this process as a worker. A program that has other modes
/// calls this to choose one. The answer is false in a child of a worker. The call has no side
/// effects.
#[must_use]
pub fn is_worker() -> bool {
    let announced = env::var(VARIABLE).ok().and_then(|text| Announced::read(&text));
    announced.is_some_and(|announced| announced.is_for_this_process())
}

/// The descriptors that a worker inherits.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) jobs: OwnedFd,
    pub(crate) replies: OwnedFd,
    pub(crate) recorder: Option<OwnedFd>,
}

impl Wire {
    /// Takes ownership of the descriptors that the variable announces.
    pub(crate) fn take() -> Result<Self, ServeError> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        let text = env::var(VARIABLE).map_err(|_| ServeError::NotAWorker)?;
        let Some(announced) = Announced::read(&text) else {
            return Err(ServeError::Variable(text));
        };
        if !announced.is_for_this_process() {
            return Err(ServeError::NotAWorker);
        }
        if IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Err(ServeError::Twice);
        }
        let adopt =
            |number| sys::adopt(number).map_err(|reason| ServeError::Descriptor { number, reason });
        Ok(Self {
            jobs: adopt(announced.jobs)?,
            replies: adopt(announced.replies)?,
            recorder: announced.recorder.map(adopt).transpose()?,
        })
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Announced {
    pid: u32,
    jobs: RawFd,
    replies: RawFd,
    recorder: Option<RawFd>,
}

impl Announced {
    fn read(text: &str) -> Option<Self> {
        let mut parts = text.split(':');
        let mut next = || parts.next();
        let number = |text: &str| text.parse::<RawFd>().ok().filter(|number| *number >= 0);
        let (pid, jobs) = (next()?.parse().ok()?, number(next()?)?);
        let replies = number(next()?)?;
        let recorder = match next()? {
            "-" => None,
            text => Some(number(text)?),
        };
        let is_distinct = jobs != replies && recorder.is_none_or(|n| n != jobs && n != replies);
        (next().is_none() && is_distinct).then_some(Self { pid, jobs, replies, recorder })
    }

    /// If false, the variable was meant for an ancestor, and the numbers are its descriptors.
    fn is_for_this_process(&self) -> bool {
        self.pid == process::id()
    }
}

/// The result of the exchange of hellos.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) max_frame: usize,
    pub(crate) recorder: Option<RecorderWriter>,
}

/// Reads the supervisor's hello and answers it. A supervisor that this worker cannot serve is
/// answered as well, because it can report the mismatch better than the worker can.
pub(crate) fn greet(
    jobs: &File,
    mut replies: &File,
    recorder: Option<OwnedFd>,
    capabilities: &[&str],
) -> Result<Agreed, ServeError> {
    let hello = SupervisorHello::from_bytes(&first_frame(jobs)?)?;
    // The worker can do without the recorder; it then writes every reply at once.
    let recorder = recorder.and_then(|memory| RecorderWriter::open(memory.as_fd(), 0).ok());
    let keeps = recorder.iter().map(|_| RECORDER);
    let capabilities = keeps.chain(capabilities.iter().copied()).map(str::to_owned).collect();
    let answer =
        WorkerHello { version: VERSION, codec: Codec::Bincode, pid: process::id(), capabilities };
    let frame = answer.to_frame();
    replies.write_all(&frame)?;
    if hello.version != VERSION {
        return Err(ServeError::Version(hello.version));
    }
    if !hello.codecs.iter().any(|codec| codec == "bincode") {
        return Err(ServeError::NoBincode);
    }
    let max_frame = usize::try_from(hello.max_frame).unwrap_or(usize::MAX).min(WIRE_BYTES_MAX);
    let recorder = recorder.map(|mut recorder| {
        recorder.advance(frame.len() as u64);
        recorder
    });
    Ok(Agreed { max_frame, recorder })
}

fn first_frame(mut jobs: &File) -> Result<Vec<u8>, ServeError> {
    let gone = |fault: io::Error| match fault.kind() {
        io::ErrorKind::UnexpectedEof => ServeError::Gone,
        _ => fault.into(),
    };
    let mut header = [0; HEADER_BYTES];
    jobs.read_exact(&mut header).map_err(gone)?;
    let length = frame::length(header, HELLO_BYTES_MAX)?;
    let mut body = vec![0; length];
    jobs.read_exact(&mut body).map_err(gone)?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_parsed_or_refused() {
        let read = Announced::read("7:3:4:5");
        assert_eq!(read, Some(Announced { pid: 7, jobs: 3, replies: 4, recorder: Some(5) }));
        assert_eq!(Announced::read("7:3:4:-").unwrap().recorder, None);
        let refused =
            ["", "7", "7:3:4", "7:3:4:5:6", "x:3:4:5", "7:-3:4:5", "7:3:3:-", "7:3:4:4", "7:3:4:"];
        for text in refused {
            assert_eq!(Announced::read(text), None, "{text}");
        }
    }

    #[test]
    fn only_the_process_that_the_variable_names_is_a_worker() {
        let announced = |pid: u32| Announced::read(&format!("{pid}:3:4:-")).unwrap();
        assert!(
            announced(process::id()).is_for_this_process() && !announced(1).is_for_this_process()
        );
        assert!(!is_worker(), "a test is not a worker");
    }

    #[test]
    fn a_worker_started_by_hand_explains_how_to_start_it() {
        let fault = Wire::take().unwrap_err();
        assert!(format!("{fault:?}").contains("supervisor run -a JOBS PROGRAM"));
    }
}
