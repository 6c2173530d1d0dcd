//! The address at which a run is served over HTTP: a loopback port, another address, or a Unix
//! socket.

use std::{fmt, path::PathBuf, str::FromStr};

use text::address::HostPort;

/// An address to listen on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Endpoint {
    /// A TCP port.
    Tcp(HostPort),
    /// A Unix socket that only this user can connect to.
    Unix(PathBuf),
}

/// A text that is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write :PORT for this machine alone, HOST:PORT, or unix:PATH")]
pub struct EndpointError;

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Self, EndpointError> {
        match text.strip_prefix("unix:") {
            Some("") => Err(EndpointError),
            Some(path) => Ok(Self::Unix(path.into())),
            None => text.parse().map(Self::Tcp).map_err(|_| EndpointError),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_port_or_a_path() {
        for text in ["127.0.0.1:9000", "[::1]:9", "unix:a b"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        assert_eq!(":9000".parse(), Ok(Endpoint::Tcp(":9000".parse().unwrap())));
        for text in ["", "9000", ":", "unix:"] {
            assert_eq!(text.parse::<Endpoint>(), Err(EndpointError), "{text}");
        }
    }
}
