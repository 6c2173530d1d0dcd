//! What does it cost to cross the boundary of a process? A job is made bytes and read from them,
//! and so is its answer: each of the four is timed where it is done.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use serde::{Deserialize, Serialize};

use super::{
    bodies::{Answer, Task, tasks},
    plan::Plan,
};

/// An answer that crossed.
#[derive(Debug, Deserialize)]
pub(super) struct Crossed {
    /// What the other side took to read the job and write the answer.
    pub(super) crossing_ns: u64,
    /// What it took for the work itself.
    pub(super) work_ns: u64,
    pub(super) answer: Answer,
}

/// The other side: reads a job, does it, and writes the answer.
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

/// This side: writes all jobs, a line each; says how long that took.
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

/// This side: reads an answer.
pub(super) fn read(text: &str) -> Option<Crossed> {
    serde_json::from_str(text).ok()
}
