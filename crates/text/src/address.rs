//! Addresses to listen on, as people write them: `:PORT` for this machine alone, or `HOST:PORT`.

use std::{fmt, str::FromStr};

use crate::escape::is_obeyed;

/// The host of an address without one. It is a number, since the name `localhost` may resolve to
/// another address.
const LOOPBACK: &str = "127.0.0.1";

/// A TCP address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostPort {
    /// Name or address of the host, without brackets; the loopback address if none was given.
    pub host: String,
    /// Number of the port; 0 selects a free one.
    pub port: u16,
}

/// A text that is not an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write :PORT for this machine alone, or HOST:PORT")]
pub struct AddressError;

impl FromStr for HostPort {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (host, port) = text.rsplit_once(':').ok_or(AddressError)?;
        let port = port.parse().map_err(|_| AddressError)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match (host, bare) {
            ("", _) => LOOPBACK,
            // Brackets are for an IPv6 address, whose last part would look like a port without them.
            (_, Some(host)) if host.contains(':') => host,
            (host, None) if !host.contains(':') => host,
            _ => return Err(AddressError),
        };
        if host.contains(['[', ']']) || host.contains(is_obeyed) {
            return Err(AddressError);
        }
        Ok(Self { host: host.into(), port })
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_host_is_a_loopback_port() {
        for (text, host, port) in [
            (":9000", "127.0.0.1", 9000),
            ("localhost:0", "localhost", 0),
            ("0.0.0.0:80", "0.0.0.0", 80),
            ("[::1]:9000", "::1", 9000),
        ] {
            assert_eq!(text.parse(), Ok(HostPort { host: host.into(), port }), "{text}");
        }
        assert_eq!(HostPort::from_str("[::1]:9").unwrap().to_string(), "[::1]:9");
        for text in ["", "9000", ":", ":x", ":65536", "::1:9000", "host", "[]:9", "[a]:9"] {
            assert_eq!(text.parse::<HostPort>(), Err(AddressError), "{text}");
        }
    }
}
