//! Long-lived worker processes that receive jobs over pipes: `supervisor run` with a worker that
//! links the `worker` library.

use std::{ffi::OsString, io};

use crate::{
    bodies::{BlockingClient, Bodies},
    crossing,
    plan::{Fault, Plan},
    role::Role,
};

/// Returns the arguments of the supervisor. It reads jobs from stdin, one per line, and writes
/// records to stdout.
pub(crate) fn command(plan: &Plan) -> io::Result<Vec<OsString>> {
    let mut words: Vec<String> =
        ["run", "-a", "-", "--format", "jsonl", "--progress", "none", "-w"].map(Into::into).into();
    words.push(plan.workers.to_string());
    words.extend(["--timeout".into(), format!("{}s", plan.timeout.as_secs_f64())]);
    // The other ways do not retry, so this one must not either.
    words.extend(["--crash-retries".into(), "0".into()]);
    if plan.fault == Fault::Leak {
        words.extend(["--memory".into(), plan.memory_bytes.to_string()]);
    }
    words.push("--".into());
    words.extend(Role::Worker { plan: plan.clone() }.to_words()?);
    Ok(words.into_iter().map(Into::into).collect())
}

/// Runs a worker.
pub(crate) fn serve(plan: &Plan) -> io::Result<()> {
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    worker::serve(|job| crossing::cross(job.bytes(), |task| bodies.block(&client, task)))
        .map_err(io::Error::other)
}
