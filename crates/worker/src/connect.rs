//! How does a worker find its supervisor? By the variable `SUPERVISOR_WIRE` with its own process
//! id and three descriptors; then each says hello.

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

/// Why a worker cannot begin or go on.
#[derive(thiserror::Error)]
pub enum ServeError {
    /// Nobody started this process as a worker.
    #[error("this program is a worker: start it with `supervisor run -a JOBS PROGRAM`")]
    NotAWorker,
    /// This process took up its wire before.
    #[error("this process serves its supervisor already")]
    Twice,
    /// The variable is not of its form.
    #[error("{VARIABLE} is `{0}`, not PID:JOBS:REPLIES:RECORDER")]
    Variable(String),
    /// One of the descriptors that the variable names cannot be had.
    #[error("descriptor {number} of {VARIABLE}: {source}")]
    Descriptor {
        /// Its number.
        number: RawFd,
        /// What is the matter with it.
        source: io::Error,
    },
    /// The supervisor is of another version.
    #[error("the supervisor speaks version {0} of the protocol, this worker version {VERSION}")]
    Version(u32),
    /// The supervisor does not know the form in which this library writes.
    #[error("the supervisor does not read bincode")]
    NoBincode,
    /// The supervisor has ended, or does not want this worker any more.
    #[error("the supervisor is gone")]
    Gone,
    /// A reply was given while no job was being run.
    #[error("a reply without a job")]
    NoJob,
    /// What the supervisor said cannot be understood, or what is to be said has no form.
    #[error("on the wire: {0}")]
    Codec(#[from] CodecError),
    /// The pipes fail.
    #[error("on the wire: {0}")]
    Io(io::Error),
}

/// As [`fmt::Display`], because this is what a `main` that gives the error back shows to people.
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

/// Whether a supervisor started this very process as a worker, and not one further up: for a
/// program that does other things as well. It takes up nothing, and may be asked at any time.
#[must_use]
pub fn is_worker() -> bool {
    let announced = env::var(VARIABLE).ok().and_then(|text| Announced::read(&text));
    announced.is_some_and(|announced| announced.is_for_us())
}

/// The descriptors of a worker.
#[derive(Debug)]
pub(crate) struct Wire {
    pub(crate) jobs: OwnedFd,
    pub(crate) replies: OwnedFd,
    pub(crate) recorder: Option<OwnedFd>,
}

impl Wire {
    /// Takes up what the variable announces.
    pub(crate) fn take() -> Result<Self, ServeError> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        let text = env::var(VARIABLE).map_err(|_| ServeError::NotAWorker)?;
        let Some(announced) = Announced::read(&text) else {
            return Err(ServeError::Variable(text));
        };
        if !announced.is_for_us() {
            return Err(ServeError::NotAWorker);
        }
        if IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Err(ServeError::Twice);
        }
        let adopt =
            |number| sys::adopt(number).map_err(|source| ServeError::Descriptor { number, source });
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

    /// Or else it was for a process further up, whose descriptors these numbers are.
    fn is_for_us(&self) -> bool {
        self.pid == process::id()
    }
}

/// What the hellos agreed on.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) max_frame: usize,
    pub(crate) keeper: Option<RecorderWriter>,
}

/// Hears the supervisor's hello and answers it. The answer goes out even to a supervisor that
/// this worker cannot serve, which can then say so better than this worker.
pub(crate) fn greet(
    jobs: &File,
    mut replies: &File,
    recorder: Option<OwnedFd>,
    capabilities: &[&str],
) -> Result<Agreed, ServeError> {
    let hello = SupervisorHello::from_bytes(&first_frame(jobs)?)?;
    // Memory that cannot be mapped is no reason to refuse work: every reply then goes at once.
    let keeper = recorder.and_then(|memory| RecorderWriter::open(memory.as_fd(), 0).ok());
    let recorder = keeper.iter().map(|_| RECORDER);
    let capabilities = recorder.chain(capabilities.iter().copied()).map(str::to_owned).collect();
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
    let keeper = keeper.map(|mut keeper| {
        keeper.passed(frame.len() as u64);
        keeper
    });
    Ok(Agreed { max_frame, keeper })
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
    fn the_variable_is_read_or_refused() {
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
    fn only_the_process_that_was_started_is_a_worker() {
        let announced = |pid: u32| Announced::read(&format!("{pid}:3:4:-")).unwrap();
        assert!(announced(process::id()).is_for_us() && !announced(1).is_for_us());
        assert!(!is_worker(), "a test is none");
    }

    #[test]
    fn whoever_starts_a_worker_by_hand_is_told_how() {
        let fault = Wire::take().unwrap_err();
        assert!(format!("{fault:?}").contains("supervisor run -a JOBS PROGRAM"));
    }
}
