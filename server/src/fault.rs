//! The errors of the server. Each message is one line and names the thing, the reason and the
//! remedy.

use std::io;

use pool::{exit::StartFault, limits::LimitError};
use process::{Program, descriptors::TooFewFiles};
use text::address::HostPort;

use crate::program;

const USAGE: u8 = 2;
const SERVER_FAILURE: u8 = 125;

/// An error that ends the server.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// The kernel refused something.
    #[error("cannot {what}: {reason}")]
    Refused { what: &'static str, reason: io::Error },
    /// The server cannot listen on the address.
    #[error("cannot listen on {address}: {reason}; {remedy}")]
    CannotListen { address: HostPort, reason: io::Error, remedy: &'static str },
    /// A limit is set twice.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The limit of open files is too low for the number of clients.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// The program cannot be started.
    #[error("{text}")]
    CannotStart { text: String, status: u8 },
}

impl Fault {
    pub(crate) fn refused(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |reason| Self::Refused { what, reason }
    }

    pub(crate) fn cannot_start(fault: StartFault, program: &Program) -> Self {
        let text = program::cannot_start(fault, program);
        Self::CannotStart { text, status: fault.exit_status() }
    }

    pub(crate) fn cannot_listen(address: &HostPort, reason: io::Error) -> Self {
        use io::ErrorKind::{AddrInUse, AddrNotAvailable, PermissionDenied};
        let remedy = match reason.kind() {
            AddrInUse => "stop the program that has it, or choose another port; 0 takes a free one",
            AddrNotAvailable => "give an address of this machine, or 0.0.0.0 for all of them",
            PermissionDenied => "ports below 1024 are for root: choose a higher one",
            _ => "give an address or a name of this machine, such as 127.0.0.1:8080",
        };
        Self::CannotListen { address: address.clone(), reason, remedy }
    }

    /// The exit status of the server.
    pub(crate) fn exit_status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Limit(_) => USAGE,
            Self::CannotStart { status, .. } => *status,
            Self::Refused { .. } | Self::CannotListen { .. } | Self::TooFewFiles(_) => {
                SERVER_FAILURE
            }
        }
    }
}
