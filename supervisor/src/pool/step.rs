//! What goes into the pool and what comes out: two closed lists.

use std::time::Duration;

use crate::{
    event::{Event, ShutdownReason, WorkerId},
    exit::{Evidence, StartFault},
};

/// A moment, as the time since the run began. Never a wall clock.
pub type Tick = Duration;

/// Something that happened.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A deadline passed.
    Timer,
    /// A worker's process has news. Late news of a former life are counted and dropped.
    Worker {
        /// Which worker.
        worker: WorkerId,
        /// What.
        news: News,
    },
    /// The run shall stop. Asked again, it climbs one rung: stop, then kill.
    Shutdown(ShutdownReason),
    /// All workers shall be replaced, one by one.
    Roll,
}

/// News of one worker's process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// The program was executed in this process.
    Executed {
        /// The process.
        pid: i32,
    },
    /// The process is gone, or never came to be.
    Ended {
        /// The process, if there was one.
        pid: Option<i32>,
        /// How it ended, or what kept the program from running.
        end: Result<Evidence, StartFault>,
        /// Chance, for the delay before the next start.
        jitter: Jitter,
    },
}

/// Chance as an input: the share by which a delay is stretched or shrunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jitter(i16);

impl Jitter {
    /// The most a delay changes, in thousandths: 20 %.
    pub const PERMILLE_MAX: u16 = 200;

    /// From any random number.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        let span = u64::from(Self::PERMILLE_MAX) * 2 + 1;
        let drawn = i16::try_from(random % span).unwrap_or_default();
        Self(drawn - Self::PERMILLE_MAX.cast_signed())
    }

    /// The delay so changed.
    #[must_use]
    pub fn apply(self, delay: Duration) -> Duration {
        delay * (1000 + i32::from(self.0)).unsigned_abs() / 1000
    }
}

/// Something to do about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Action {
    /// Start this worker's process.
    Spawn(WorkerId),
    /// Ask its process group to end, with the stop signal.
    Ask(WorkerId),
    /// Kill its process group.
    Kill(WorkerId),
    /// Tell everyone.
    Tell(Event),
}
