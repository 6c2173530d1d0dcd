//! A process for each job: `supervisor each`, as anybody runs it, with a command that reads the
//! job and writes the answer.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
};

use crate::compare::{
    bodies::{BlockingClient, Bodies},
    crossing, part,
    plan::{Fault, Plan},
};

/// The command: its jobs come on standard input, a line each, its records go to standard output.
pub(in crate::compare) fn command(plan: &Plan) -> io::Result<Vec<OsString>> {
    let mut words: Vec<String> =
        ["each", "--stdin", "--format", "jsonl", "--progress", "none", "-j"].map(Into::into).into();
    words.push(plan.workers.to_string());
    // The plan has braces, which are none of a template.
    words.extend(["-I".into(), "the job".into()]);
    words.extend(["--timeout".into(), format!("{}s", plan.timeout.as_secs_f64())]);
    if plan.fault == Fault::Leak {
        words.extend(["--memory".into(), plan.memory_bytes.to_string()]);
    }
    words.push("--".into());
    words.extend(part::Part::Job { plan: plan.clone() }.to_words()?);
    Ok(words.into_iter().map(Into::into).collect())
}

/// The job's process.
pub(in crate::compare) fn do_one(plan: &Plan) -> io::Result<()> {
    let mut line = Vec::new();
    io::stdin().read_to_end(&mut line)?;
    let (bodies, client) = (Bodies::new(plan), BlockingClient::new(plan)?);
    let answer = crossing::cross(&line, |task| bodies.block(&client, task));
    io::stdout().write_all(answer.map_err(io::Error::other)?.as_bytes())
}
