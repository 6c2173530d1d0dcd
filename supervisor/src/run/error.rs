//! Why could a run not begin?

use std::io;

use super::RecordError;
#[cfg(feature = "web")]
use crate::web::ServeError;
use crate::{sink::reports::ReportError, source::SourceError};
use process::descriptors::TooFewFiles;

/// Why a run could not begin.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The limit of open files.
    #[error(transparent)]
    TooFewFiles(#[from] TooFewFiles),
    /// The input.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A report.
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
    /// There is nowhere for the output to go.
    #[error(
        "stdout is closed, and what comes of the run would be lost: send it to a file, \
         or to /dev/null"
    )]
    NoOutput,
    /// The journal.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Something the kernel refused.
    #[error("cannot {what}: {source}")]
    Refused {
        /// What.
        what: &'static str,
        /// Why.
        source: io::Error,
    },
}
