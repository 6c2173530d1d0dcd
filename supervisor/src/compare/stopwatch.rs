//! What does a way that runs within its own process tell? A line for each job as it ends, at
//! once and in one write, so that what was done is known whatever befalls the process after it.

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

/// What is told; times in nanoseconds since the way began.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub(super) enum Line {
    /// A job began. Told only where one may never end, since it costs a system call.
    Began { id: u64, place: u32, at: u64 },
    /// A job ended.
    Ended {
        id: u64,
        place: u32,
        /// When it was its turn.
        given: u64,
        ended: u64,
        /// How long whoever does it took to start, if that was started for this job.
        start: Option<u64>,
        right: bool,
    },
    /// What the way lost besides the job, and went on without.
    Died { what: String, how: String },
    /// All is done that could be.
    Finished,
    /// The way could not begin.
    Failed { why: String },
}

/// Times jobs, and tells of them.
#[derive(Clone, Debug)]
pub(super) struct Stopwatch(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    check: Check,
    /// Whether jobs may never end.
    is_faulty: bool,
    begun: Instant,
}

/// A job under way.
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

    /// How long ago the way began.
    pub(super) fn now(&self) -> u64 {
        u64::try_from(self.0.begun.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// It is this job's turn, in this place among those that run at a time.
    pub(super) fn give(&self, id: u64, place: u32) -> Lap {
        Lap { watch: self.clone(), id, place, given: self.now(), start: None }
    }

    /// Tells what was lost besides a job.
    pub(super) fn died(&self, what: &str, how: &str) {
        tell(&Line::Died { what: what.into(), how: how.into() });
    }
}

impl Lap {
    /// It runs from here on. With when whoever does it was asked to start, if that was for it.
    pub(super) fn begin(&mut self, asked: Option<u64>) {
        let now = self.watch.now();
        self.start = asked.map(|asked| now.saturating_sub(asked));
        if self.watch.0.is_faulty {
            tell(&Line::Began { id: self.id, place: self.place, at: now });
        }
    }

    /// It ended, with this.
    pub(super) fn end(self, answer: &Answer) {
        let Self { watch, id, place, given, start } = self;
        let ended = watch.now();
        let right = watch.0.check.is_right(id, answer);
        tell(&Line::Ended { id, place, given, ended, start, right });
    }
}

/// Says it on stdout. With nobody left to hear it, nothing else is of use either, and the kernel
/// ends this process with its parent.
pub(super) fn tell(line: &Line) {
    if let Ok(mut text) = serde_json::to_vec(line) {
        text.push(b'\n');
        // One write, and no buffer that could die with the process.
        let _ = io::stdout().lock().write_all(&text);
    }
}
