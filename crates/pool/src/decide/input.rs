//! The inputs of the pool: a closed list of everything that it learns about the world.

use std::time::Duration;

use crate::{
    command::Ran,
    event::{Progress, ShutdownReason, WorkerId},
    exit::{Pipe, ProcessEnd, ProtocolFault},
    hang::Hang,
    job::{Accepted, Failure, Payload},
};

/// A point in time, as the time since the run began. Never a wall-clock time.
pub type Tick = Duration;

/// Something that happened, or that a user requested.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A deadline passed.
    Timer,
    /// News about a worker. News about a worker that is gone is counted and dropped.
    Worker {
        /// The worker.
        worker: WorkerId,
        /// The news.
        news: News,
    },
    /// A request to stop the run. If the run is stopping already, a more urgent reason shortens the
    /// time that running jobs have; a repeated one, at least 1 s later, escalates each worker's
    /// stop by one stage.
    Shutdown(ShutdownReason),
    /// A request to replace all workers, one by one, and to start slots again that were given up.
    Roll,
    /// Jobs of the source, in order.
    Jobs(Vec<Accepted>),
    /// A job of the source that is too long for any frame.
    TooLong {
        /// The job's number.
        id: u64,
        /// The job's sequence number in this run, from 1: its turn in ordered output.
        place: u64,
        /// The job's position in the input, from 1.
        position: u64,
        /// The job's length, in bytes.
        bytes: u64,
    },
    /// The source has no more jobs.
    SourceEnded,
    /// A user cancels a job: it ends if it runs, and is not started otherwise.
    Cancel {
        /// The job's number.
        id: u64,
        /// Whether the job is stopped at once, without the grace period.
        now: bool,
    },
    /// A user kills these workers. Their jobs are not charged.
    Kill {
        /// The workers. The pool ignores those that are gone.
        workers: Vec<WorkerId>,
    },
    /// A user starts the worker of this slot, which was given up or waits for its next start.
    StartSlot(u32),
    /// A user changes the number of workers.
    Scale(u32),
    /// A user replaces these workers as a roll does.
    Restart {
        /// The workers. The pool ignores those that are gone.
        workers: Vec<WorkerId>,
    },
    /// A user pauses the run (`true`): no job begins until it is resumed (`false`).
    Pause(bool),
    /// Backpressure: `true` while the sink cannot take more outcomes, which stops new jobs from
    /// being sent; `false` once it can.
    Hold(bool),
    /// The answer to the second [`Action::Examine`](super::action::Action::Examine) of a job.
    Examined {
        /// The worker that runs the job.
        worker: WorkerId,
        /// The job's number.
        id: u64,
        /// The observations of both examinations.
        hang: Box<Hang>,
    },
    /// The answer to [`Action::ExamineStart`](super::action::Action::ExamineStart).
    StartExamined {
        /// The worker.
        worker: WorkerId,
        /// How long it, or a process below it, has waited for a processor since its start.
        unserved: Duration,
    },
    /// The answer to [`Action::SampleMemory`](super::action::Action::SampleMemory).
    MemorySampled {
        /// The memory of each worker. Workers whose processes are ending are missing.
        samples: Vec<(WorkerId, MemorySample)>,
        /// The processor time that this took.
        took: Duration,
    },
}

/// News about one worker.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum News {
    /// Its program was executed.
    Executed {
        /// The process.
        pid: i32,
    },
    /// It said hello, so it speaks the worker protocol.
    Hello(Abilities),
    /// The replies of one read, in order.
    Replies {
        /// The replies, each for the job at the head of the worker's queue.
        replies: Vec<Reply>,
        /// The worker's memory; `None` if it was not measured.
        memory: Option<Memory>,
        /// Whether the worker wrote to stdout or stderr since its last replies.
        printed: bool,
    },
    /// The answer to [`Action::Retract`](super::action::Action::Retract).
    Retracted {
        /// Replies that the executor read while it retracted.
        replies: Vec<Reply>,
        /// The sequence number of the last job that the worker started: jobs count from 1 in the
        /// order in which they were sent to it. `None` if the worker has not read the resume frame
        /// of the previous retraction yet.
        started: Option<u64>,
    },
    /// A job of [`Action::Send`](super::action::Action::Send) was not sent, since the wire cannot
    /// carry it. It does not count in the worker's sequence of jobs.
    Unsendable {
        /// The job's number.
        id: u64,
        /// Why the wire cannot carry it.
        why: Unsendable,
    },
    /// It reported the progress of a job.
    Progress {
        /// The job's number.
        id: u64,
        /// How far the job is.
        progress: Progress,
    },
    /// It broke the worker protocol.
    Broken(ProtocolFault),
    /// It has closed this pipe, or is ending: the executor no longer reads or writes the pipe.
    Closed(Pipe),
    /// Its process is gone, or was never created.
    Ended {
        /// The process, if there was one.
        pid: Option<i32>,
        /// How it ended, or why its program never ran.
        end: ProcessEnd,
        /// What the executor collected after the end.
        remains: Remains,
        /// Randomness for the delay before the next start.
        jitter: Jitter,
    },
}

/// Why a job cannot be sent to a worker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsendable {
    /// Its message would be too long.
    TooLong {
        /// The length of the message, in bytes.
        bytes: u64,
        /// The longest message, in bytes.
        bytes_max: u64,
    },
    /// It contains a newline, and the worker takes each line for a job.
    Newline,
}

/// The memory of a worker's own process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Memory {
    /// Its resident memory now, in bytes.
    pub resident_bytes: u64,
    /// Its largest resident memory so far, in bytes.
    pub peak_bytes: u64,
}

/// The memory of a worker and all processes below it, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum MemorySample {
    /// They hold this much: up to the limit the sum of their resident memory, in which shared pages
    /// count once for each process, and otherwise the sum of their proportional shares (PSS).
    Held(u64),
    /// The sum of their proportional shares is this much. But it may be too high, because processes
    /// ended or began to share memory while it was read, or too low, because processes were born.
    Doubtful(u64),
}

impl MemorySample {
    /// The sum, in bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        match self {
            Self::Held(bytes) | Self::Doubtful(bytes) => bytes,
        }
    }
}

/// What a worker supports, according to its hello.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Abilities {
    /// Has a recorder: it notes each job that it starts in memory that survives its death, and its
    /// jobs can be retracted. A worker without a recorder is sent one job at a time.
    pub recorder: bool,
    /// It handles requests to cancel a job.
    pub cancels: bool,
    /// It takes as many jobs at a time as the user asks for, although it has no recorder: it
    /// answers in order, and runs each job that it was sent.
    pub queues: bool,
}

/// A worker's reply to a job.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply {
    /// The job's number.
    pub id: u64,
    /// Which attempt of the job, from 1.
    pub attempt: u32,
    /// How long the job ran, in nanoseconds; 0 if not measured.
    pub service_ns: u64,
    /// The result.
    pub answer: Answer,
}

/// The result of a job, as a worker reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Answer {
    /// The job is done, with this result.
    Done(Payload),
    /// The job failed, for this reason.
    Failed(Box<Failure>),
    /// A launcher ran a command for the job. The pool judges whether it succeeded.
    Ran(Box<Ran>),
}

/// What the executor collects of a worker's work after its end.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Remains {
    /// Whether its hello was read only after its end.
    pub spoke: bool,
    /// Replies that were not read before its end.
    pub replies: Vec<Reply>,
    /// The sequence number of the last job that it started, according to its recorder; without a
    /// recorder, of the last job of which it had read anything. `None` if it started none.
    pub started: Option<u64>,
    /// How the collected data breaks the protocol, if it does.
    pub broken: Option<ProtocolFault>,
    /// The last bytes of its stdout and stderr.
    pub output: Vec<u8>,
}

/// Randomness as an input: the share by which a delay is lengthened or shortened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Jitter(i16);

impl Jitter {
    /// The largest change of a delay, in thousandths: 20 %.
    pub const PERMILLE_MAX: u16 = 200;

    /// Derives the jitter from any random number.
    #[must_use]
    pub fn from_random(random: u64) -> Self {
        let span = u64::from(Self::PERMILLE_MAX) * 2 + 1;
        let drawn = i16::try_from(random % span).unwrap_or_default();
        Self(drawn - Self::PERMILLE_MAX.cast_signed())
    }

    /// Applies the jitter to a delay.
    #[must_use]
    pub fn apply(self, delay: Duration) -> Duration {
        delay * (1000 + i32::from(self.0)).unsigned_abs() / 1000
    }
}
