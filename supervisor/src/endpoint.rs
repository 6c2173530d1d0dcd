//! Where is a run served? A port of this machine, an address, or a Unix socket.

use std::{fmt, path::PathBuf, str::FromStr};

/// Where those who look on may come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A host by name or number, and a port; 0 is any that is free.
    Tcp {
        /// This machine alone where none was given.
        host: String,
        /// The port.
        port: u16,
    },
    /// A socket of the file system, for this user alone.
    Unix(PathBuf),
}

/// What is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write :PORT for this machine alone, HOST:PORT, or unix:PATH")]
pub struct EndpointError;

/// No name resolves elsewhere.
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
            // An IPv6 address whose end would be taken for a port.
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
    fn a_port_alone_is_of_this_machine_alone() {
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
