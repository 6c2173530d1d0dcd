//! What happened, as the pool hears of it: a closed list of inputs.

use std::time::Duration;

use crate::{
    command::Ran,
    event::{ShutdownReason, WorkerId},
    exit::{Pipe, ProcessEnd, ProtocolFault},
    hang::Hang,
    job::{Accepted, Failure, Payload},
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
    /// Jobs, in order.
    Jobs(Vec<Accepted>),
    /// A job that no frame can hold.
    TooLong {
        /// Its number.
        id: u64,
        /// Its turn.
        place: u64,
        /// Where it stood in its input.
        position: u64,
        /// How long it is.
        bytes: u64,
    },
    /// There are no more jobs to come.
    SourceEnded,
    /// This job is to end, or not to begin.
    Cancel {
        /// Its number.
        id: u64,
        /// Without time to end by itself.
        now: bool,
    },
    /// A user kills these workers: their jobs are not charged.
    Kill {
        /// Which; those that are gone are left out.
        workers: Vec<WorkerId>,
    },
    /// There shall be so many workers.
    Scale(u32),
    /// Whether outcomes have nowhere to go just now: then no job is sent.
    Hold(bool),
    /// The answer to the second [`Action::Examine`] of a job.
    Examined {
        /// Who runs it.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// What was seen.
        hang: Box<Hang>,
    },
    /// The answer to [`Action::SampleMemory`].
    MemorySampled {
        /// What each holds; of one that is about to end, nothing is said.
        samples: Vec<(WorkerId, MemorySample)>,
        /// How much of a processor's time that took.
        took: Duration,
    },
}

/// News of one worker's process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// The program was executed in this process.
    Executed {
        /// The process.
        pid: i32,
    },
    /// It speaks the worker protocol.
    Hello(Abilities),
    /// What one read of it brought, in order.
    Replies {
        /// Each for the job at the head of its line.
        replies: Vec<Reply>,
        /// Its memory, where that was looked at.
        memory: Option<Memory>,
        /// Whether it wrote to its own streams since its last replies.
        printed: bool,
    },
    /// The answer to [`Action::Retract`].
    Retracted {
        /// The jobs that turned out to be done.
        replies: Vec<Reply>,
        /// The how-many-th job sent to it is the last that it started; `None` where it has not
        /// come past the recall before this one.
        started: Option<u64>,
    },
    /// A job of [`Action::Send`] was not sent: its frame would be longer than a frame may be. It
    /// takes no number in the order of the jobs that were.
    Unsendable {
        /// The job's number.
        id: u64,
        /// Length of the frame's body, in bytes.
        bytes: u64,
        /// The longest body that a frame may have, in bytes.
        bytes_max: u64,
    },
    /// What it said was not the protocol.
    Broken(ProtocolFault),
    /// It is about to end, or has closed this pipe: it will hear or say nothing more.
    Closed(Pipe),
    /// The process is gone, or never came to be.
    Ended {
        /// The process, if there was one.
        pid: Option<i32>,
        /// How it ended, or what kept the program from running.
        end: ProcessEnd,
        /// What it left of its work.
        left: Left,
        /// Chance, for the delay before the next start.
        jitter: Jitter,
    },
}

/// The memory of a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// What it holds, in bytes.
    pub resident_bytes: u64,
    /// The most that it ever held.
    pub peak_bytes: u64,
}

/// What a worker holds together with all that descends from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemorySample {
    /// The sum of what is resident, in bytes: what is shared counts for each.
    pub resident_bytes: u64,
    /// The sum of the proportional shares, in bytes, where the other is above the limit.
    pub proportional_bytes: Option<u64>,
}

impl MemorySample {
    /// The best that is known, in bytes.
    #[must_use]
    pub fn held_bytes(self) -> u64 {
        self.proportional_bytes.unwrap_or(self.resident_bytes)
    }
}

/// What a worker said of itself in its hello.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Abilities {
    /// It tells which job it runs where that survives its death, and can be stopped from starting
    /// the next one. Without, it is sent one job at a time.
    pub recorder: bool,
    /// It hears a cancel.
    pub cancels: bool,
}

/// How a worker says a job ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The job's number.
    pub id: u64,
    /// Which try of it.
    pub attempt: u32,
    /// How long it ran, in nanoseconds; 0 where that was not measured.
    pub service_ns: u64,
    /// What came of it.
    pub answer: Answer,
}

/// What came of a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// A result.
    Done(Payload),
    /// Nothing, and why.
    Failed(Box<Failure>),
    /// A command was run for it; whether that is well is for the pool to judge.
    Ran(Box<Ran>),
}

/// What a worker that ended had still to say.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Left {
    /// Whether its hello was among it.
    pub spoke: bool,
    /// Jobs that turned out to be done.
    pub replies: Vec<Reply>,
    /// The how-many-th job sent to it is the last that it started, by its record; without one,
    /// the last of which it had read anything. `None` where it never came to that.
    pub started: Option<u64>,
    /// What of it was not the protocol.
    pub broken: Option<ProtocolFault>,
    /// The last of its output.
    pub output: Vec<u8>,
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
