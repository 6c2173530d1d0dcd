//! How is a service manager told how the service fares? By datagrams to the socket it named, as
//! sd_notify(3) has it.

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

/// The way to it.
#[derive(Debug)]
pub struct ServiceManager {
    socket: UnixDatagram,
}

impl ServiceManager {
    /// Connects to what `NOTIFY_SOCKET` names: a path, or behind `@` a name without one.
    ///
    /// # Errors
    /// Nobody is there.
    pub fn connect(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(name)?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.connect_addr(&address)?;
        // It must not hold us up.
        socket.set_nonblocking(true)?;
        Ok(Self { socket })
    }

    /// Tells it something: lines of `NAME=value`. False where it has no room just now.
    pub fn tell(&self, lines: &str) -> bool {
        // One that has gone has nothing more to hear.
        let sent = self.socket.send(lines.as_bytes());
        !sent.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// The kernel's clock, in microseconds, by which a reload is known.
#[must_use]
pub fn monotonic_us() -> i64 {
    let now = clock_gettime(ClockId::CLOCK_MONOTONIC);
    now.map_or(0, |now| now.tv_sec() * 1_000_000 + now.tv_nsec() / 1000)
}
