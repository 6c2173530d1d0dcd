//! How far a run is: from the first job to the last worker.

use super::shutdown::Shutdown;
use crate::event::ShutdownReason;

/// The phase of a run.
#[derive(Clone, Copy, Default, Debug)]
pub(super) enum Phase {
    /// Jobs may still come. A run without jobs stays in this phase until it stops.
    #[default]
    Open,
    /// No more jobs come; those that are there are done.
    SourceEnded,
    /// All jobs are settled, and the workers are dismissed.
    Finishing,
    /// The run stops early.
    Stopping {
        shutdown: Shutdown,
        /// All jobs were settled before.
        is_done: bool,
    },
}

impl Phase {
    /// Why the run stops early, if it does.
    pub(super) fn shutdown(self) -> Option<Shutdown> {
        match self {
            Self::Open | Self::SourceEnded | Self::Finishing => None,
            Self::Stopping { shutdown, .. } => Some(shutdown),
        }
    }

    pub(super) fn reason(self) -> Option<ShutdownReason> {
        self.shutdown().map(|shutdown| shutdown.reason)
    }

    /// Whether the run is coming to its end: nothing is started or sent.
    pub(super) fn is_stopping(self) -> bool {
        matches!(self, Self::Finishing | Self::Stopping { .. })
    }

    /// Whether all jobs were settled while the run went on.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Finishing | Self::Stopping { is_done: true, .. })
    }

    /// The source has ended.
    pub(super) fn end_source(&mut self) {
        if matches!(self, Self::Open) {
            *self = Self::SourceEnded;
        }
    }
}
