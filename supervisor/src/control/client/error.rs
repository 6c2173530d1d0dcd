//! Why a client cannot see or ask a run.

use std::{io, path::PathBuf};

use text::escape::visible;

use crate::control::wire::Refused;

/// A directory of runs that cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("runs in {} cannot be seen: {reason}", visible(path.as_os_str().as_encoded_bytes()))]
pub struct Unusable {
    pub(super) path: PathBuf,
    pub(super) reason: io::Error,
}

/// Why a run did not answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// No run is live.
    #[error("no run is live: start one with supervisor run or supervisor each")]
    NoRun,
    /// No run was found, and a directory could not be read.
    #[error(transparent)]
    Unusable(#[from] Unusable),
    /// No live run has this id or name.
    #[error("there is no run `{}`: {}", visible(wanted.as_bytes()), list(live))]
    NoSuchRun {
        /// The id or name that the user gave.
        wanted: String,
        /// The labels of the live runs.
        live: Vec<String>,
    },
    /// Several live runs have this name.
    #[error(
        "several runs have the name `{}`: give the id of one to --run: {}",
        visible(wanted.as_bytes()),
        live.join(", ")
    )]
    Ambiguous {
        /// The name that the user gave.
        wanted: String,
        /// The ids of the runs.
        live: Vec<String>,
    },
    /// Several runs are live and the user named none.
    #[error("several runs are live: say which with --run: {}", live.join(", "))]
    Several {
        /// The labels of the live runs.
        live: Vec<String>,
    },
    /// The run refused.
    #[error("{}", visible(.0.message.as_bytes()))]
    Refused(Refused),
    /// The connection broke, or no answer came in time.
    #[error("the run does not answer: {0}")]
    Silent(String),
    /// The processes of the run have no number here.
    #[error(
        "the end of the run cannot be waited for: it is in another PID namespace, where --wait works"
    )]
    Unseen,
    /// The answer does not follow the protocol.
    #[error("the run is of another version, or not a run at all: {}", visible(.0.as_bytes()))]
    Garbled(String),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> Self {
        Self::Silent(error.to_string())
    }
}

impl From<serde_json::Error> for ClientError {
    fn from(error: serde_json::Error) -> Self {
        Self::Garbled(error.to_string())
    }
}

fn list(live: &[String]) -> String {
    if live.is_empty() { "none is live".into() } else { format!("there are {}", live.join(", ")) }
}
