//! The phase of a run: from the first job to the end of the last worker.

use super::shutdown::Shutdown;
use crate::event::ShutdownReason;

/// The phase of a run.
#[derive(Clone, Copy, Default, Debug)]
pub(super) enum RunPhase {
    /// Jobs may still come. A run without jobs stays in this phase until it stops.
    #[default]
    Open,
    /// The source has no more jobs; the remaining ones are being worked off.
    SourceEnded,
    /// All jobs are settled, and the workers are being dismissed.
    Finishing,
    /// The run stops early.
    Stopping {
        shutdown: Shutdown,
        /// Whether all jobs were settled before the stop.
        is_done: bool,
    },
}

impl RunPhase {
    /// The shutdown, if the run stops early.
    pub(super) fn shutdown(self) -> Option<Shutdown> {
        match self {
            Self::Open | Self::SourceEnded | Self::Finishing => None,
            Self::Stopping { shutdown, .. } => Some(shutdown),
        }
    }

    pub(super) fn reason(self) -> Option<ShutdownReason> {
        self.shutdown().map(|shutdown| shutdown.reason)
    }

    /// Whether the run is ending: nothing is started or sent.
    pub(super) fn is_stopping(self) -> bool {
        matches!(self, Self::Finishing | Self::Stopping { .. })
    }

    /// Whether all jobs were settled before the run began to stop.
    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Finishing | Self::Stopping { is_done: true, .. })
    }

    /// Notes that the source has no more jobs.
    pub(super) fn end_source(&mut self) {
        if matches!(self, Self::Open) {
            *self = Self::SourceEnded;
        }
    }
}
