//! The protocol of sd_notify(3): a service reports its state to the service manager by datagrams.
//!
//! A service manager believes only the process that it started, unless it is configured otherwise.
//! That process is the warden, so it relays what the supervisor reports.

use std::{
    ffi::OsStr,
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::{
            ffi::OsStrExt,
            net::{SocketAddr, UnixDatagram},
        },
    },
    time::Duration,
};

use nix::{
    sys::socket::{AddressFamily, SockFlag, SockType, socketpair},
    time::{ClockId, clock_gettime},
};

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4096;
/// Time limit for passing on a message to a service manager that takes none.
const RELAY_TIMEOUT: Duration = Duration::from_secs(1);

/// A connection to the service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
}

/// The end of a connection from which messages are passed on to the service manager.
#[derive(Debug)]
pub(crate) struct Relay {
    from: UnixDatagram,
    to: UnixDatagram,
}

impl Relay {
    /// Passes on messages until the other end is closed.
    pub(crate) fn run(&self) {
        let mut message = [0; MESSAGE_BYTES_MAX];
        loop {
            match self.from.recv(&mut message) {
                // A sender never sends an empty message.
                Ok(0) => return,
                // A service manager that is gone is no reason to stop reading.
                Ok(length) => drop(self.to.send(&message[..length])),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    }
}

impl ServiceManager {
    /// Connects to the socket that `NOTIFY_SOCKET` names: a path, or an abstract name after `@`.
    ///
    /// # Errors
    /// Nothing listens there.
    pub fn connect(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        Ok(Self { socket })
    }

    /// Puts another process between this one and the service manager: the relay.
    pub(crate) fn relayed(self) -> io::Result<(Self, Relay)> {
        let (kind, flags) = (SockType::SeqPacket, SockFlag::SOCK_CLOEXEC);
        let (near, far) = socketpair(AddressFamily::Unix, kind, None, flags)?;
        self.socket.set_write_timeout(Some(RELAY_TIMEOUT))?;
        let near = UnixDatagram::from(near);
        // A slow service manager must not block this process.
        near.set_nonblocking(true)?;
        Ok((Self { socket: near }, Relay { from: far.into(), to: self.socket }))
    }

    /// Sends lines of `NAME=value`. Returns false if the socket is full just now; a service manager
    /// that is gone counts as sent.
    pub fn send(&self, lines: &str) -> bool {
        let sent = self.socket.send(lines.as_bytes());
        !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The kernel's monotonic clock in microseconds, which identifies a reload.
#[must_use]
pub fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000)
}
