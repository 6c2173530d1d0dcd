//! The cost of crossing a process boundary: a job and its answer are each serialised on one side
//! and parsed on the other. All four steps are timed where they happen.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    bodies::{Answer, Task, tasks},
    plan::Plan,
};

/// An answer from another process, with the times measured there.
#[derive(Debug, Deserialize)]
pub(super) struct Crossed {
    /// Time in which the other side parsed the job and serialised the answer, in nanoseconds.
    pub(super) crossing_ns: u64,
    /// Time that the work itself took, in nanoseconds.
    pub(super) work_ns: u64,
    pub(super) answer: Answer,
}

/// Worker side: parses a job, runs it and serialises the answer.
pub(super) fn cross(line: &[u8], work: impl FnOnce(Task) -> Answer) -> Result<String, String> {
    let begun = Instant::now();
    let task = serde_json::from_slice(line).map_err(|error| error.to_string())?;
    let read = begun.elapsed();
    let answer = work(task);
    let worked = begun.elapsed() - read;
    let answer = serde_json::to_string(&answer).map_err(|error| error.to_string())?;
    let crossing = begun.elapsed() - worked;
    let (crossing, worked) = (crossing.as_nanos(), worked.as_nanos());
    Ok(format!("{{\"crossing_ns\":{crossing},\"work_ns\":{worked},\"answer\":{answer}}}"))
}

/// Supervisor side: writes all jobs, one per line, and returns the time spent serialising.
pub(super) fn write_all(plan: &Plan, out: impl Write) -> io::Result<Duration> {
    let mut out = io::BufWriter::new(out);
    let mut took = Duration::ZERO;
    let mut bytes = Vec::new();
    for task in tasks(plan) {
        let begun = Instant::now();
        bytes.clear();
        write(&mut bytes, &task)?;
        took += begun.elapsed();
        out.write_all(&bytes)?;
    }
    out.flush()?;
    Ok(took)
}

fn write(bytes: &mut Vec<u8>, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *bytes, value)?;
    bytes.push(b'\n');
    Ok(())
}

/// Supervisor side: parses an answer; `None` if the text is none.
pub(super) fn read(text: &str) -> Option<Crossed> {
    serde_json::from_str(text).ok()
}
