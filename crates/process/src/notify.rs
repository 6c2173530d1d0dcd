//! The protocol of sd_notify(3): a service reports its state to the service manager by datagrams.

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
};

use nix::time::{ClockId, clock_gettime};

/// A connection to the service manager.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
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
        // A slow service manager must not block this process.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
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
