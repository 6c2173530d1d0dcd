//! Worker processes that live on and get jobs over pipes: `supervisor run`, as anybody runs it,
//! with a worker that links the `worker` library.

use std::{ffi::OsString, io};

use crate::compare::{
    bodies::{BlockingClient, Bodies},
    crossing, part,
    plan::{Fault, Plan},
};

/// The command: its jobs come on standard input, a line each, its records go to standard output.
pub(in crate::compare) fn command(plan: &Plan) -> io::Result<Vec<OsString>> {
    let mut words: Vec<String> =
        ["run", "-a", "-", "--format", "jsonl", "--progress", "none", "-w"].map(Into::into).into();
    words.push(plan.workers.to_string());
    words.extend(["--timeout".into(), format!("{}s", plan.timeout.as_secs_f64())]);
    // No way gets a second try, so these do not either.
    words.extend(["--crash-retries".into(), "0".into()]);
    if plan.fault == Fault::Leak {
        words.extend(["--memory".into(), plan.memory_bytes.to_string()]);
    }
    words.push("--".into());
    words.extend(part::Part::Worker { plan: plan.clone() }.to_words()?);
    Ok(words.into_iter().map(Into::into).collect())
}

/// The worker.
pub(in crate::compare) fn serve(plan: &Plan) -> io::Result<()> {
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    worker::serve(|job| crossing::cross(job.bytes(), |task| bodies.block(&client, task)))
        .map_err(io::Error::other)
}
