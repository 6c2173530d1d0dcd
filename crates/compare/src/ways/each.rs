//! A process for each job: `supervisor each` with a command that reads the job and writes the
//! answer.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
};

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
        ["each", "--stdin", "--format", "jsonl", "--progress", "none", "-j"].map(Into::into).into();
    words.push(plan.workers.to_string());
    // The plan contains braces, which must not be taken for a placeholder.
    words.extend(["-I".into(), "the job".into()]);
    words.extend(["--timeout".into(), format!("{}s", plan.timeout.as_secs_f64())]);
    if plan.fault == Fault::Leak {
        words.extend(["--memory".into(), plan.memory_bytes.to_string()]);
    }
    words.push("--".into());
    words.extend(Role::Job { plan: plan.clone() }.to_words()?);
    Ok(words.into_iter().map(Into::into).collect())
}

/// Runs the one job of this process.
pub(crate) fn run_job(plan: &Plan) -> io::Result<()> {
    let mut line = Vec::new();
    io::stdin().read_to_end(&mut line)?;
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    let answer = crossing::cross(&line, |task| bodies.block(&client, task));
    io::stdout().write_all(answer.map_err(io::Error::other)?.as_bytes())
}
