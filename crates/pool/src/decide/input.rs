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
    /// There is news of a worker. News of a worker that is gone is counted and dropped.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// The news.
        news: News,
    },
    /// The run is to stop. A further request escalates that: from stopping to killing.
    Shutdown(ShutdownReason),
    /// All workers are to be replaced, one by one.
    Roll,
    /// Jobs of the source, in order.
    Jobs(Vec<Accepted>),
    /// A job of the source that is too long for any frame.
    TooLong {
        /// The job's number.
        id: u64,
        /// The place of its outcome where outcomes come out in order.
        place: u64,
        /// Where it stood in its input, from 1.
        position: u64,
        /// Its length, in bytes.
        bytes: u64,
    },
    /// The source has no more jobs.
    SourceEnded,
    /// A user cancels a job: it is to end, or not to begin.
    Cancel {
        /// The job's number.
        id: u64,
        /// Whether it has no time to end by itself.
        now: bool,
    },
    /// A user kills these workers. Their jobs are not charged.
    Kill {
        /// The workers; those that are gone are left out.
        workers: Vec<WorkerId>,
    },
    /// A user changes the number of workers.
    Scale(u32),
    /// Whether outcomes have nowhere to go at the moment: then no job is begun.
    Hold(bool),
    /// The answer to the second [`Action::Examine`](super::action::Action::Examine) of a job.
    Examined {
        /// The worker that runs the job.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// What was seen.
        hang: Box<Hang>,
    },
    /// The answer to [`Action::SampleMemory`](super::action::Action::SampleMemory).
    MemorySampled {
        /// What each worker holds. Workers that are about to end are left out.
        samples: Vec<(WorkerId, MemorySample)>,
        /// The processor time that this took.
        took: Duration,
    },
}

/// News of one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Its program is executed.
    Executed {
        /// The process.
        pid: i32,
    },
    /// It speaks the worker protocol.
    Hello(Abilities),
    /// Replies that one read brought, in order.
    Replies {
        /// The replies, each for the job at the head of the worker's queue.
        replies: Vec<Reply>,
        /// The worker's memory, where that was measured.
        memory: Option<Memory>,
        /// Whether the worker wrote to its own streams since its last replies.
        printed: bool,
    },
    /// The answer to [`Action::Retract`](super::action::Action::Retract).
    Retracted {
        /// Replies that were found on the way.
        replies: Vec<Reply>,
        /// The number of the last job that the worker started, counted in the order in which jobs
        /// were sent to it. `None` while it has not come past the retraction before this one.
        started: Option<u64>,
    },
    /// A job of [`Action::Send`](super::action::Action::Send) was not sent, since its frame would
    /// be longer than a frame may be. It has no number in the order of the jobs that were sent.
    Unsendable {
        /// The job's number.
        id: u64,
        /// The length of the frame's body, in bytes.
        bytes: u64,
        /// The longest body that a frame may have, in bytes.
        bytes_max: u64,
    },
    /// What it said was not the protocol.
    Broken(ProtocolFault),
    /// It has closed this pipe, or is about to end: nothing more is read or written there.
    Closed(Pipe),
    /// Its process is gone, or never came to be.
    Ended {
        /// The process, if there was one.
        pid: Option<i32>,
        /// How it ended, or what kept the program from running.
        end: ProcessEnd,
        /// What it left of its work.
        left: Left,
        /// Randomness for the delay before the next start.
        jitter: Jitter,
    },
}

/// The memory of a worker's own process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Its resident memory now, in bytes.
    pub resident_bytes: u64,
    /// Its largest resident memory so far, in bytes.
    pub peak_bytes: u64,
}

/// The memory of a worker and all processes below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MemorySample {
    /// The sum of their resident memory, in bytes. Shared pages count once for each process.
    pub resident_bytes: u64,
    /// The sum of their proportional shares (PSS), in bytes, where the other sum is above the
    /// limit.
    pub proportional_bytes: Option<u64>,
}

impl MemorySample {
    /// The best figure that is known, in bytes.
    #[must_use]
    pub fn held_bytes(self) -> u64 {
        self.proportional_bytes.unwrap_or(self.resident_bytes)
    }
}

/// What a worker can do, as it says in its hello.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Abilities {
    /// It notes the job that it runs in the flight recorder, which survives its death, and can be
    /// kept from starting the next one. A worker without is sent one job at a time.
    pub recorder: bool,
    /// It reads requests to cancel a job.
    pub cancels: bool,
}

/// What a worker says of a job that ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The job's number.
    pub id: u64,
    /// Which attempt of the job, from 1.
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
    /// No result, and why.
    Failed(Box<Failure>),
    /// A command was run for it. Whether that is success is for the pool to judge.
    Ran(Box<Ran>),
}

/// What was found of a worker's work after its end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Left {
    /// Whether its hello was found only now.
    pub spoke: bool,
    /// Replies that were not read before.
    pub replies: Vec<Reply>,
    /// The number of the last job that it started, by its flight recorder; without one, of the
    /// last job of which it had read anything. `None` if it never came that far.
    pub started: Option<u64>,
    /// How what it wrote broke the protocol, if it did.
    pub broken: Option<ProtocolFault>,
    /// The last of its output.
    pub output: Vec<u8>,
}

/// Randomness as an input: the share by which a delay is stretched or shrunk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jitter(i16);

impl Jitter {
    /// The largest change of a delay, in thousandths: 20 %.
    pub const PERMILLE_MAX: u16 = 200;

    /// The jitter that follows from any random number.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        let span = u64::from(Self::PERMILLE_MAX) * 2 + 1;
        let drawn = i16::try_from(random % span).unwrap_or_default();
        Self(drawn - Self::PERMILLE_MAX.cast_signed())
    }

    /// A delay, changed by this jitter.
    #[must_use]
    pub fn apply(self, delay: Duration) -> Duration {
        delay * (1000 + i32::from(self.0)).unsigned_abs() / 1000
    }
}
