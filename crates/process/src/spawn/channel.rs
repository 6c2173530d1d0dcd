//! The connection between the supervisor and an exec helper: a Unix socket pair, one end of which
//! is the standard input of the helper. The supervisor sends a [`SpawnSpec`] and the descriptors
//! for the program; the helper answers with [`HelperMessage`]s, and the exec closes its end.
//!
//! All descriptors of the supervisor are close-on-exec, so none reaches a program by accident.

use std::{
    io::{self, IoSlice},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
        unix::net::UnixStream as StdUnixStream,
    },
};

use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockType, sendmsg, socketpair,
};
use pool::exit::StartFault;
use protocol::{
    codec::{self, CodecError},
    frame::{self, FRAME_BYTES_MAX},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::UnixStream,
};

use super::spec::SpawnSpec;

/// The number of descriptors that can be passed to one process.
pub(super) const PASSED_MAX: usize = 8;

/// What a helper reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum HelperMessage {
    /// Everything is in place, and the exec comes next.
    Ready {
        /// The peak of resident memory, in KiB, that the program inherits from the images before
        /// it. A peak of the program's own below this value cannot be measured.
        inherited_peak_kib: u64,
        /// CPU time of the images before the program, in microseconds, which the kernel counts as
        /// the program's.
        inherited_cpu_us: u64,
    },
    /// A step failed, and the program did not run.
    Failed(StartFault),
}

impl HelperMessage {
    /// The maximum length of a message, in bytes.
    const BYTES_MAX: usize = 64;

    pub(super) fn to_frame(self) -> Result<Vec<u8>, CodecError> {
        to_frame(&self)
    }

    /// Parses everything that a helper sent. Bytes that are no message end the list.
    fn parse_all(mut bytes: &[u8]) -> Vec<Self> {
        let mut messages = Vec::new();
        while let Ok(Some((body, rest))) = frame::split(bytes, Self::BYTES_MAX) {
            messages.extend(codec::decode::<Self>(body));
            bytes = rest;
        }
        messages
    }
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

/// The supervisor's end of the connection after the specification was sent, or as much of it as the
/// socket took at once.
#[derive(Debug)]
pub(crate) struct SentSpec {
    socket: StdUnixStream,
    unsent: Vec<u8>,
}

impl SentSpec {
    /// Sends a specification with the descriptors for the program, before the helper is started.
    /// Returns the helper's end of the connection too.
    pub(crate) fn send(spec: &SpawnSpec, passed: &[BorrowedFd<'_>]) -> io::Result<(Self, OwnedFd)> {
        let (socket, helper_end) =
            socketpair(AddressFamily::Unix, SockType::Stream, None, SockFlag::SOCK_CLOEXEC)?;
        let socket = StdUnixStream::from(socket);
        socket.set_nonblocking(true)?;
        let mut unsent = to_frame(spec).map_err(io::Error::other)?;
        let sent = send(&socket, &unsent, passed)?;
        unsent.drain(..sent);
        Ok((Self { socket, unsent }, helper_end))
    }

    /// Sends the rest of the specification and receives the messages of the helper, up to the exec
    /// or the death that closes its end.
    pub(crate) async fn messages(self) -> io::Result<Vec<HelperMessage>> {
        const RECEIVED_BYTES_MAX: u64 = 1024;
        let mut socket = UnixStream::from_std(self.socket)?;
        if !self.unsent.is_empty() {
            socket.write_all(&self.unsent).await?;
        }
        let mut received = Vec::new();
        socket.take(RECEIVED_BYTES_MAX).read_to_end(&mut received).await?;
        Ok(HelperMessage::parse_all(&received))
    }
}

/// Sends the beginning of a frame, together with the descriptors, and returns the number of bytes
/// sent.
fn send(socket: impl AsFd, frame: &[u8], passed: &[BorrowedFd<'_>]) -> io::Result<usize> {
    let passed: Vec<RawFd> = passed.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&passed)];
    let control = if passed.is_empty() { &[][..] } else { &rights };
    let flags = MsgFlags::MSG_NOSIGNAL;
    let socket = socket.as_fd().as_raw_fd();
    Ok(sendmsg::<()>(socket, &[IoSlice::new(frame)], control, flags, None)?)
}
