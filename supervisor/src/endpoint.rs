//! The address at which a run is served over HTTP: a loopback port, another address, or a Unix
//! socket.

use std::{fmt, path::PathBuf, str::FromStr};

/// An address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A TCP port.
    Tcp {
        /// Name or address of the host; the loopback address if none was given.
        host: String,
        /// Number of the port; 0 selects a free one.
        port: u16,
    },
    /// A Unix socket that only this user can connect to.
    Unix(PathBuf),
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write :PORT for this machine alone, HOST:PORT, or unix:PATH")]
pub struct EndpointError;

/// A number and not a name, since `localhost` may resolve to another address.
const LOOPBACK: &str = "127.0.0.1";

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(EndpointError) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or(EndpointError)?;
        let port = port.parse().map_err(|_| EndpointError)?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match (host, bare) {
            ("", _) => LOOPBACK,
            (_, Some(host)) => host,
            // An IPv6 address without brackets, whose last part looks like a port.
            (host, None) if host.contains(':') => return Err(EndpointError),
            (host, None) => host,
        };
        Ok(Self::Tcp { host: host.into(), port })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
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
            assert_eq!(text.parse(), Ok(Endpoint::Tcp { host: host.into(), port }), "{text}");
        }
        assert_eq!("unix:a b".parse(), Ok(Endpoint::Unix("a b".into())));
        assert_eq!(Endpoint::from_str("[::1]:9").unwrap().to_string(), "[::1]:9");
        for text in ["", "9000", ":", ":x", ":65536", "::1:9000", "unix:", "host"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
        }
    }
}
