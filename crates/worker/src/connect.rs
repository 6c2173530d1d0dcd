//! The connection of a worker to its supervisor.
//!
//! The variable `SUPERVISOR_WIRE` names a process and three descriptors of it. Over them the two ends
//! exchange hellos.
//!
//! The process is the one that the supervisor started. That is this process, or a wrapper (`sh`,
//! `npm run`, `uv run`) that started this one. A child of a worker inherits the variable too; it
//! recognises that by the recorder, in which the supervisor notes which process has said hello.

use std::{
    env, fmt,
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd, RawFd},
        unix::fs::{FileExt, FileTypeExt, MetadataExt},
    },
    process,
    sync::atomic::{AtomicBool, Ordering},
};

use protocol::{
    codec::{CodecError, HELLO_BYTES_MAX, WIRE_BYTES_MAX},
    frame::{self, FrameTooLong, HEADER_BYTES},
    recorder::{OWNER, PAGE_BYTES, RecorderWriter},
    wire::{Codec, RECORDER, SupervisorHello, VARIABLE, VERSION, WorkerHello},
};

use crate::sys;

/// Why a worker cannot start or continue.
#[derive(thiserror::Error)]
pub enum ServeError {
    /// No supervisor started this process.
    #[error("this program is a worker: start it with `supervisor run -a JOBS PROGRAM`")]
    NotAWorker,
    /// The process with this id is the worker, and this one was started by it.
    #[error("this program was started by a worker (PID {0}), and a child of a worker is none")]
    Child(u64),
    /// This process is already connected.
    #[error("this process serves its supervisor already")]
    Twice,
    /// The value of the variable is malformed.
    #[error("{VARIABLE} is `{0}`, not PID:JOBS:REPLIES:RECORDER")]
    Variable(String),
    /// A descriptor that the variable names cannot be used.
    #[error("descriptor {number} of process {pid}, as in {VARIABLE}: {reason}")]
    Descriptor {
        /// The process that holds the descriptor.
        pid: u32,
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
/// calls this to choose one. The answer is false in a child of a worker, and true behind a wrapper
/// that has no worker yet. The call has no side effects.
#[must_use]
pub fn is_worker() -> bool {
    let announced = env::var(VARIABLE).ok().and_then(|text| Announced::read(&text));
    announced.is_some_and(|announced| match announced.holder() {
        Holder::ThisProcess => true,
        Holder::Other => announced.owner().is_ok_and(|owner| owner == 0),
    })
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
        if announced.holder() == Holder::Other {
            match announced.owner()? {
                0 => {}
                owner => return Err(ServeError::Child(owner)),
            }
        }
        if IS_TAKEN.swap(true, Ordering::Relaxed) {
            return Err(ServeError::Twice);
        }
        let (mut read, mut write, mut both) =
            (OpenOptions::new(), OpenOptions::new(), OpenOptions::new());
        read.read(true);
        write.write(true);
        both.read(true).write(true);
        let recorder = announced.recorder.map(|number| announced.adopt(number, &both));
        Ok(Self {
            jobs: announced.adopt(announced.jobs, &read)?,
            replies: announced.adopt(announced.replies, &write)?,
            recorder: recorder.transpose()?,
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

    fn holder(&self) -> Holder {
        if self.pid == process::id() { Holder::ThisProcess } else { Holder::Other }
    }

    /// The process that said hello to the supervisor; 0 if none has. A holder that has closed its
    /// descriptors is itself the worker.
    ///
    /// # Errors
    /// The holder is gone, or its descriptors are not those of a connection.
    fn owner(&self) -> Result<u64, ServeError> {
        let Some(number) = self.recorder else { return Err(ServeError::NotAWorker) };
        let fault = |reason| ServeError::Descriptor { pid: self.pid, number, reason };
        let read = || -> io::Result<u64> {
            let recorder = match File::open(self.path(number)) {
                Err(fault) if fault.kind() == io::ErrorKind::NotFound => {
                    return Ok(self.pid.into());
                }
                opened => opened?,
            };
            let is_pipe = |number| -> io::Result<bool> {
                Ok(std::fs::metadata(self.path(number))?.file_type().is_fifo())
            };
            let is_page = recorder.metadata()?.len() == PAGE_BYTES as u64;
            if !(is_page && is_pipe(self.jobs)? && is_pipe(self.replies)?) {
                return Err(io::Error::other("it is no longer a descriptor of the supervisor's"));
            }
            let mut owner = [0; 8];
            recorder.read_exact_at(&mut owner, OWNER as u64)?;
            Ok(u64::from_ne_bytes(owner))
        };
        read().map_err(fault)
    }

    /// Takes ownership of a descriptor. A wrapper may have passed it on, or else still holds it.
    fn adopt(&self, number: RawFd, how: &OpenOptions) -> Result<OwnedFd, ServeError> {
        let fault = |reason| ServeError::Descriptor { pid: self.pid, number, reason };
        if self.holder() == Holder::ThisProcess {
            return sys::adopt(number).map_err(fault);
        }
        let theirs = how.open(self.path(number)).map_err(fault)?;
        let is_passed_on = || -> io::Result<bool> {
            let ours = std::fs::metadata(format!("/proc/self/fd/{number}"))?;
            let theirs = theirs.metadata()?;
            Ok((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
        };
        match is_passed_on() {
            Ok(true) => sys::adopt(number).map_err(fault),
            Ok(false) | Err(_) => Ok(theirs.into()),
        }
    }

    fn path(&self, number: RawFd) -> String {
        format!("/proc/{}/fd/{number}", self.pid)
    }
}

/// The process that the supervisor gave the descriptors to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Holder {
    ThisProcess,
    /// A wrapper that started this process, or a worker whose child this process is.
    Other,
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
    fn a_process_without_a_recorder_of_the_named_process_is_no_worker() {
        let announced = |text: &str| Announced::read(text).unwrap();
        let own = process::id();
        assert_eq!(announced(&format!("{own}:3:4:-")).holder(), Holder::ThisProcess);
        for text in ["1:3:4:-".to_owned(), format!("{own}:0:1:2")] {
            assert!(announced(&text).owner().is_err(), "{text}");
        }
        let closed = announced(&format!("{own}:3:4:987654"));
        assert_eq!(closed.owner().unwrap(), u64::from(own), "it has closed its recorder");
        assert!(!is_worker(), "a test is not a worker");
    }

    #[test]
    fn a_worker_started_by_hand_explains_how_to_start_it() {
        let fault = Wire::take().unwrap_err();
        assert!(format!("{fault:?}").contains("supervisor run -a JOBS PROGRAM"));
    }
}
