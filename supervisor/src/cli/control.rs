//! `supervisor ps`, `why`, `logs`, `stop` and the other verbs that query or change a live run.

mod show;
#[cfg(feature = "top")]
mod top;

use std::{
    io::{self, BufRead, BufWriter, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use pool::signal::Signal;
use process::signals::die_by;
use records::{LogLine, Snapshot, json};
use supervisor::{
    control::{
        client::{self, ClientError, Found},
        wire::{GAP, Performed, Query},
    },
    model::{ControlCommand, WorkerName},
    run::status::OUTPUT_FAILED,
};

use super::print;

#[derive(Debug, Subcommand)]
pub(super) enum Verb {
    /// List runs; with --run, or if only one run is live, list its workers
    Ps(Common),
    /// Watch a run live on the terminal: its workers, their jobs, and the failures
    #[cfg(feature = "top")]
    Top(Which),
    /// Explain how a job or a worker ended, or show what it does now
    Why(Why),
    /// Show the recent output of workers
    Logs(Logs),
    /// Stream the events of a run, as one JSON record per line
    Events(Which),
    /// Change the number of workers
    Scale(Scale),
    /// Finish the running jobs, start no others, and end the run
    Drain(Which),
    /// Stop a run; running jobs get the grace period, or none with --now
    Stop(Stop),
    /// Kill and replace a worker; its job is retried without using up an attempt. A slot without a
    /// worker, as one that was given up, is started again
    Kill(Kill),
    /// Cancel a job, whether it runs or waits
    Cancel(Cancel),
    /// Run a failed job again
    Retry(Job),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// The run, by its id or its name; needed only if several are live
    #[arg(long, value_name = "ID|NAME")]
    run: Option<String>,
}

#[derive(Debug, Args)]
pub(super) struct Common {
    #[command(flatten)]
    which: Which,

    /// Text for people, or JSON records
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

#[derive(Debug, Args)]
pub(super) struct Why {
    /// A job's number, or a worker: w2, or w2.7 for its generation 7
    #[arg(value_name = "JOB|WORKER")]
    what: What,

    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Debug)]
enum What {
    Job(u64),
    Worker(WorkerName),
}

impl std::str::FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let job = text.parse().ok().filter(|job| *job > 0).map(Self::Job);
        let what = job.or_else(|| text.parse().ok().map(Self::Worker));
        what.ok_or_else(|| format!("`{text}` is no job and no worker: write 7, w2, or w2.7"))
    }
}

#[derive(Debug, Args)]
pub(super) struct Logs {
    /// Only the output of this worker: w2, or w2.7 for its generation 7
    #[arg(value_name = "WORKER")]
    worker: Option<WorkerName>,

    /// Continue with what is written from now on
    #[arg(short, long)]
    follow: bool,

    #[command(flatten)]
    common: Common,
}

#[derive(Debug, Args)]
pub(super) struct Scale {
    /// The number of workers; or +N or -N, to add or remove as many
    #[arg(value_name = "N|+N|-N", value_parser = scale, allow_hyphen_values = true)]
    change: ControlCommand,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Stop {
    /// Kill running jobs at once, without the grace period
    #[arg(long)]
    now: bool,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Kill {
    /// A worker, w2 or w2.7; or the number of a job, to cancel it at once
    #[arg(value_name = "WORKER|JOB")]
    what: What,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Cancel {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(u64).range(1..))]
    job: u64,

    /// Kill it at once, without time to end by itself
    #[arg(long)]
    now: bool,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct Job {
    /// The job's number
    #[arg(value_name = "JOB", value_parser = clap::value_parser!(u64).range(1..))]
    job: u64,

    #[command(flatten)]
    which: Which,
}

/// Runs the verb and returns the exit status.
pub(super) fn main(verb: Verb) -> ExitCode {
    match perform(verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Fault::Output(error)) if error.kind() == io::ErrorKind::BrokenPipe => {
            die_by(Signal::PIPE)
        }
        Err(fault) => {
            print::message(&fault.to_string());
            match fault {
                Fault::Output(_) => OUTPUT_FAILED.into(),
                _ => ExitCode::FAILURE,
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("stdout cannot be written: {0}")]
    Output(io::Error),
    #[cfg(feature = "top")]
    #[error("the terminal cannot be used: {0}")]
    Terminal(io::Error),
    #[error("{0}")]
    NotThere(String),
}

fn perform(verb: Verb) -> Result<(), Fault> {
    match verb {
        Verb::Ps(common) => ps(&common),
        #[cfg(feature = "top")]
        Verb::Top(which) => top::main(&which),
        Verb::Why(why) => {
            let snapshot: Snapshot = find(&why.common.which)?.ask(Query::Snapshot)?;
            let text = match why.what {
                What::Job(job) => show::job(&snapshot, job, why.common.format == Format::Jsonl),
                What::Worker(worker) => {
                    show::worker(&snapshot, worker, why.common.format == Format::Jsonl)
                }
            };
            put(&text.map_err(Fault::NotThere)?)
        }
        Verb::Logs(logs) => tail(&logs),
        Verb::Events(which) => {
            stream(find(&which)?.listen(Query::Events)?, |line| Some(line.into()))
        }
        Verb::Scale(Scale { change, which }) => perform_command(&which, change),
        Verb::Drain(which) => perform_command(&which, ControlCommand::Drain),
        Verb::Stop(Stop { now, which }) => perform_command(&which, ControlCommand::Stop { now }),
        Verb::Kill(Kill { what: What::Worker(worker), which }) => {
            perform_command(&which, ControlCommand::Kill { worker })
        }
        Verb::Kill(Kill { what: What::Job(job), which }) => {
            perform_command(&which, ControlCommand::Cancel { job, now: true })
        }
        Verb::Cancel(Cancel { job, now, which }) => {
            perform_command(&which, ControlCommand::Cancel { job, now })
        }
        Verb::Retry(Job { job, which }) => perform_command(&which, ControlCommand::Retry { job }),
    }
}

/// Parses a number of workers, or a change of it.
fn scale(text: &str) -> Result<ControlCommand, String> {
    let command = if text.starts_with(['+', '-']) {
        text.parse().ok().filter(|by| *by != 0).map(|workers| ControlCommand::ScaleBy { workers })
    } else {
        text.parse().ok().filter(|to| *to > 0).map(|workers| ControlCommand::Scale { workers })
    };
    command.ok_or_else(|| "write how many workers, or by how many more or fewer: 4, +1, -1".into())
}

fn find(which: &Which) -> Result<Found, ClientError> {
    client::run(which.run.as_deref())
}

fn perform_command(which: &Which, command: ControlCommand) -> Result<(), Fault> {
    let performed: Performed = find(which)?.ask(Query::Command(command))?;
    put(&format!("{}\n", performed.message))
}

/// Shows one run with its workers, or lists all runs.
fn ps(common: &Common) -> Result<(), Fault> {
    let is_jsonl = common.format == Format::Jsonl;
    if common.which.run.is_none() {
        let runs = client::runs();
        let live = runs.iter().filter(|run| run.stream.is_some()).count();
        if live != 1 || runs.len() != 1 {
            // A run that is gone is listed once.
            runs.iter().filter(|run| run.stream.is_none()).for_each(Found::forget);
            return put(&show::runs(runs, is_jsonl));
        }
    }
    let found = find(&common.which)?;
    let snapshot: Snapshot = found.ask(Query::Snapshot)?;
    put(&if is_jsonl { json::line(&snapshot) } else { show::run(&snapshot) })
}

fn tail(logs: &Logs) -> Result<(), Fault> {
    if let Some(worker) = logs.worker {
        let snapshot: Snapshot = find(&logs.common.which)?.ask(Query::Snapshot)?;
        show::check_slot(&snapshot, worker).map_err(Fault::NotThere)?;
    }
    let query = Query::Logs { worker: logs.worker, follow: logs.follow };
    let lines = find(&logs.common.which)?.listen(query)?;
    let is_jsonl = logs.common.format == Format::Jsonl;
    stream(lines, |line| {
        if is_jsonl {
            return Some(line.to_owned());
        }
        if line.as_bytes() == GAP.trim_ascii_end() {
            return Some("… lines are missing: they came faster than they were read".into());
        }
        let record: LogLine = serde_json::from_str(line).ok()?;
        Some(show::log(&record))
    })
}

/// Prints each line as it arrives, in the form that `shown` returns; `None` omits it.
fn stream(lines: impl BufRead, mut shown: impl FnMut(&str) -> Option<String>) -> Result<(), Fault> {
    let mut out = BufWriter::new(io::stdout().lock());
    for line in lines.lines() {
        let Ok(line) = line else { break };
        if let Some(line) = shown(&line) {
            writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Fault::Output)?;
        }
    }
    Ok(())
}

fn put(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Fault::Output)
}
