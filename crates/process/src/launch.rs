//! What does the stub need to know, and what does it answer? The supervisor starts itself anew
//! with one end of a Unix socket pair as stdin. Over it go a [`Launch`] and the descriptors the
//! program shall carry; back come [`Word`]s, and at the exec the end of file.
//!
//! No descriptor is ever inheritable in the supervisor, so none reaches a program by accident.

use std::{
    ffi::OsStr,
    io::{self, IoSlice},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::{ffi::OsStrExt, net::UnixStream},
    },
    path::Path,
};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use protocol::{
    codec::{self, CodecError},
    frame::{self, FRAME_BYTES_MAX},
};
use serde::{Deserialize, Serialize};

use super::descriptors::OpenFiles;
use crate::program::Program;
use pool::{exit::StartFault, limits::Limits};

/// The hidden verb under which a program of this workspace becomes a stub.
pub const VERB: &str = "__stub";

/// More descriptors than this are never passed to one process.
pub(crate) const PASSED_MAX: usize = 8;

/// All that turns a fresh process into the program.
#[derive(Debug, Serialize, Deserialize)]
pub struct Launch {
    pub(super) argv: Vec<Vec<u8>>,
    /// `NAME=value`.
    pub(super) env: Vec<Vec<u8>>,
    pub(super) directory: Option<Vec<u8>>,
    pub(super) limits: Limits,
    pub(super) open_files: OpenFiles,
    /// The supervisor's process: the program ends with it.
    pub(super) parent: i32,
    /// Where in the program each passed descriptor goes, in their order.
    pub(super) places: Vec<RawFd>,
    /// The orders of the function of this program that it shall be, where it is none else.
    pub(super) built_in: Option<Vec<u8>>,
    /// A variable, and what its value shall hold after the program's own process id: only the
    /// stub knows that one.
    pub(super) announced: Option<(String, String)>,
}

impl Launch {
    /// A launch of `program` whose passed descriptors shall have these numbers. Standard input
    /// is `/dev/null` unless 0 is among them.
    #[must_use]
    pub fn new(program: &Program, open_files: OpenFiles, places: &[RawFd]) -> Self {
        let bytes = |text: &OsStr| text.as_bytes().to_vec();
        let pair = |name: &OsStr, value: &OsStr| [name.as_bytes(), b"=", value.as_bytes()].concat();
        Self {
            argv: program.argv.iter().map(|arg| bytes(arg)).collect(),
            env: program.env.iter().map(|(name, value)| pair(name, value)).collect(),
            directory: program.directory.as_deref().map(Path::as_os_str).map(bytes),
            limits: program.limits.clone(),
            open_files,
            parent: std::process::id().cast_signed(),
            places: places.to_vec(),
            built_in: None,
            announced: None,
        }
    }

    /// Announces something to the program and to none of its children: in this variable, behind
    /// the program's process id.
    pub fn announce(&mut self, name: &str, value: &str) {
        self.announced = Some((name.into(), value.into()));
    }

    /// Takes off the limits, for a function of this program that sets them itself.
    pub fn take_limits(&mut self) -> Limits {
        std::mem::take(&mut self.limits)
    }

    /// Makes it a function of this program, with these orders, which is passed descriptors as
    /// they come.
    pub fn make_built_in(&mut self, orders: Vec<u8>) {
        self.built_in = Some(orders);
        self.places.clear();
    }

    /// Adds to the program's environment, in place of a former value.
    pub fn set_env(&mut self, name: &str, value: &str) {
        let entry = format!("{name}=");
        self.env.retain(|pair| !pair.starts_with(entry.as_bytes()));
        self.env.push((entry + value).into_bytes());
    }

    /// The launch as the bytes of one frame.
    ///
    /// # Errors
    /// A launch over the frame's cap, which the kernel would not execute either.
    pub fn to_frame(&self) -> Result<Vec<u8>, CodecError> {
        to_frame(self)
    }
}

/// What a stub says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Word {
    /// All is in place: the next act is the exec.
    Ready {
        /// The peak of resident memory, in KiB, that the program inherits from the images
        /// before it: below it, its own peak cannot be told.
        inherited_peak_kib: u64,
        /// The CPU time, in microseconds, that the program inherits from them.
        inherited_cpu_us: u64,
    },
    /// A step failed; nothing of the program ran.
    Failed(StartFault),
}

impl Word {
    pub(super) fn to_frame(self) -> Result<Vec<u8>, CodecError> {
        to_frame(&self)
    }

    /// Reads all that a stub said, once it has closed its end. What cannot be read counts as
    /// not said.
    #[must_use]
    pub fn read_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut words = Vec::new();
        while let Ok(Some((body, rest))) = frame::split(bytes, Self::BYTES_MAX) {
            words.extend(codec::decode::<Self>(body));
            bytes = rest;
        }
        words
    }

    /// No word is longer.
    const BYTES_MAX: usize = 64;
}

fn to_frame(message: &impl Serialize) -> Result<Vec<u8>, CodecError> {
    let (mut frame, mut result) = (Vec::new(), Ok(()));
    let written = frame::append(&mut frame, FRAME_BYTES_MAX, |body| {
        result = codec::encode(message, body);
    });
    result?;
    written?;
    Ok(frame)
}

/// The two ends of a stub's socket: ours does not block, the stub's does.
///
/// # Errors
/// No descriptors left.
pub fn socket() -> io::Result<(UnixStream, OwnedFd)> {
    let (ours, stubs) =
        socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
    let ours = UnixStream::from(ours);
    ours.set_nonblocking(true)?;
    Ok((ours, stubs))
}

/// Sends the beginning of a launch and the descriptors with it; how many bytes went. The rest
/// is written as to any stream.
///
/// # Errors
/// `WouldBlock`, or what the kernel says.
pub fn send(socket: impl AsFd, frame: &[u8], passed: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let passed: Vec<RawFd> = passed.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&passed)];
    let control = if passed.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    let socket = socket.as_fd().as_raw_fd();
    Ok(sendmsg::<()>(socket, &[IoSlice::new(frame)], control, flags, None)?)
}
