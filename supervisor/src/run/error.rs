//! Why a run could not begin.

use std::io;

use super::RecordError;
#[cfg(feature = "web")]
use crate::web::ServeError;
use crate::{sink::reports::ReportError, source::SourceError};
use process::descriptors::TooFewFiles;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The limit on open files is too low.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// The input cannot be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A report file cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The web server cannot listen.
    #[cfg(feature = "web")]
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The build has no web server.
    #[cfg(not(feature = "web"))]
    #[error("--serve {0}: this build has no web: build it with the feature `web`")]
    NoWeb(crate::endpoint::Endpoint),
    /// stdout is closed.
    #[error(
        "stdout is closed, and the output of the run would be lost: send it to a file, \
         or to /dev/null"
    )]
    NoOutput,
    /// The run cannot be recorded.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The kernel refused something.
    #[error("cannot {what}: {reason}")]
    Refused {
        /// What the supervisor tried, as an infinitive.
        what: &'static str,
        /// The kernel's reason.
        reason: io::Error,
    },
}

impl RunError {
    /// Turns the kernel's refusal of `what` into this error.
    pub(super) fn refused(what: &'static str) -> impl Fn(io::Error) -> Self {
        move |reason| Self::Refused { what, reason }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use super::*;

    #[test]
    fn a_printed_reason_is_not_a_source_as_well() {
        let error = RunError::refused("read the clock")(io::Error::from_raw_os_error(libc::EPERM));
        assert_eq!(
            error.to_string(),
            "cannot read the clock: Operation not permitted (os error 1)"
        );
        assert!(error.source().is_none());
    }
}
