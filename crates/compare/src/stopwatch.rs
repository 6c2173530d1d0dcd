//! Times the jobs of a way that runs in its own process, and writes one line to stdout as each job
//! ends. Each line is one unbuffered write, so that it survives a crash of the process.

use std::{
    io::{self, Write},
    sync::Arc,
    time::Instant,
};

use serde::{Deserialize, Serialize};

use super::{
    bodies::{Answer, Check},
    plan::{Fault, Plan},
};

/// A line of output. Times are in nanoseconds since the way started.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// A job started. Written only if jobs may never end, since it costs a system call.
    Began { id: u64, place: u32, at: u64 },
    /// A job ended.
    Ended {
        id: u64,
        place: u32,
        /// When the job was handed out.
        given: u64,
        ended: u64,
        /// Time to start the task or thread that ran the job, if that was started for this job.
        start: Option<u64>,
        right: bool,
    },
    /// A task or thread died; the way goes on without it.
    Died { what: String, how: String },
    /// The way has finished.
    Finished,
    /// The way could not start.
    Failed { why: String },
}

/// Times jobs and writes lines about them.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    check: Check,
    /// Whether jobs may be faulty, and so may never end.
    is_faulty: bool,
    begun: Instant,
}

/// A job in progress.
#[derive(Debug)]
pub(super) struct Lap {
    watch: Stopwatch,
    id: u64,
    place: u32,
    given: u64,
    start: Option<u64>,
}

impl Stopwatch {
    pub(super) fn new(plan: &Plan) -> Self {
        let (check, is_faulty) = (Check::new(plan), plan.fault != Fault::None);
        Self(Arc::new(Inner { check, is_faulty, begun: Instant::now() }))
    }

    /// Returns the time since the way started, in nanoseconds.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Hands out a job to one of the concurrent places.
    pub(super) fn hand_out(&self, id: u64, place: u32) -> Lap {
        Lap { watch: self.clone(), id, place, given: self.now(), start: None }
    }

    /// Reports the death of a task or thread.
    pub(super) fn died(&self, what: &str, how: &str) {
        emit(&Line::Died { what: what.into(), how: how.into() });
    }
}

impl Lap {
    /// Marks the start of the job. `spawned` is when its task or thread was spawned, if that was
    /// done for this job.
    pub(super) fn begin(&mut self, spawned: Option<u64>) {
        let now = self.watch.now();
        self.start = spawned.map(|spawned| now.saturating_sub(spawned));
        if self.watch.0.is_faulty {
            emit(&Line::Began { id: self.id, place: self.place, at: now });
        }
    }

    /// Marks the end of the job.
    pub(super) fn end(self, answer: &Answer) {
        let Self { watch, id, place, given, start } = self;
        let ended = watch.now();
        let right = watch.0.check.is_right(id, answer);
        emit(&Line::Ended { id, place, given, ended, start, right });
    }
}

/// Writes a line to stdout. Errors are ignored: they mean that the parent has ended, and then the
/// kernel kills this process.
pub(super) fn emit(line: &Line) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // One write without a buffer, which would be lost in a crash.
        let _ = io::stdout().lock().write_all(&text);
    }
}
