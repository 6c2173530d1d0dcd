//! `supervisor ps`, `why`, `logs`, `stop` and the other verbs that query or change a live run.

mod show;
#[cfg(feature = "top")]
mod top;

use std::{
    io::{self, BufWriter, Write},
    process::ExitCode,
};

use clap::{Args, Subcommand, ValueEnum};
use pool::signal::Signal;
use process::signals::die_by;
use records::{LogLine, Snapshot, json};
use serde::de::IgnoredAny;
use supervisor::{
    control::{
        client::{self, ClientError, Found, Lines, Listing, RunEnd},
        wire::{GAP, Performed, Query},
    },
    model::{ControlCommand, WorkerName},
    run::status::OUTPUT_FAILED,
};
use text::{
    columns::wrap,
    escape::{is_obeyed, visible},
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
    /// Kill and replace a worker, without charging its job; or start the worker of an empty slot
    Kill(Kill),
    /// Replace a worker: a new one takes over, and the old one gets time to finish
    Restart(Restart),
    /// Replace all workers, one by one, as HUP does
    Roll(Which),
    /// Send a signal to the process of each worker; with each, to the command that it runs
    Signal(SendSignal),
    /// Begin no more jobs until resume; running jobs finish
    Pause(Which),
    /// Begin jobs again after a pause
    Resume(Which),
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

    /// Return when the run has ended
    #[arg(long)]
    wait: bool,

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
pub(super) struct Restart {
    /// A worker: w2, or w2.7 for its generation 7
    #[arg(value_name = "WORKER")]
    worker: WorkerName,

    #[command(flatten)]
    which: Which,
}

#[derive(Debug, Args)]
pub(super) struct SendSignal {
    /// The signal: a name or a number, such as HUP or USR1
    #[arg(value_name = "SIGNAL")]
    signal: Signal,

    /// Workers, such as w2; without any, all
    #[arg(value_name = "WORKER")]
    workers: Vec<WorkerName>,

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
            let text = text.map_err(Fault::NotThere)?;
            if why.common.format == Format::Jsonl { put(&text) } else { put_visible(&text) }
        }
        Verb::Logs(logs) => tail(&logs),
        Verb::Events(which) => {
            stream(find(&which)?.listen(Query::Events)?, |line| Ok(Some(record(line)?)))
        }
        Verb::Scale(Scale { change, which }) => perform_command(&which, change),
        Verb::Drain(which) => perform_command(&which, ControlCommand::Drain),
        Verb::Stop(stop) => self::stop(&stop),
        Verb::Restart(Restart { worker, which }) => {
            perform_command(&which, ControlCommand::Restart { worker })
        }
        Verb::Roll(which) => perform_command(&which, ControlCommand::Roll),
        Verb::Signal(SendSignal { signal, workers, which }) => {
            let signal = signal.to_string();
            perform_command(&which, ControlCommand::Signal { signal, workers })
        }
        Verb::Pause(which) => perform_command(&which, ControlCommand::Pause),
        Verb::Resume(which) => perform_command(&which, ControlCommand::Resume),
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
    put_visible(&performed.message)
}

fn stop(stop: &Stop) -> Result<(), Fault> {
    let found = find(&stop.which)?;
    let end = stop.wait.then(|| found.end()).transpose()?;
    let performed: Performed = found.ask(Query::Command(ControlCommand::Stop { now: stop.now }))?;
    put_visible(&performed.message)?;
    Ok(end.map_or(Ok(()), RunEnd::wait)?)
}

/// Shows one run with its workers, or lists all runs.
fn ps(common: &Common) -> Result<(), Fault> {
    let is_jsonl = common.format == Format::Jsonl;
    if common.which.run.is_none() {
        let Listing { runs, unusable } = client::runs();
        if !matches!(&runs[..], [run] if !run.is_gone()) {
            // A run that is gone is listed once.
            runs.iter().for_each(Found::forget);
            // What was found is shown; without it the reason is all that there is to say.
            let is_nothing = runs.is_empty();
            let mut faults = unusable.into_iter();
            if let Some(fault) = faults.by_ref().next_back().filter(|_| is_nothing) {
                return Err(ClientError::from(fault).into());
            }
            faults.for_each(|fault| print::message(&fault.to_string()));
            let text = show::runs(runs, is_jsonl, print::width());
            return if is_jsonl { put(&text) } else { put_visible(&text) };
        }
    }
    let found = find(&common.which)?;
    let snapshot: Snapshot = found.ask(Query::Snapshot)?;
    if is_jsonl {
        put(&json::line(&snapshot))
    } else {
        put_visible(&show::run(&snapshot, print::width()))
    }
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
            return Ok(Some(record(line)?));
        }
        if line.as_bytes() == GAP.trim_ascii_end() {
            let text = "… lines are missing: they came faster than they were read";
            return Ok(Some(text.into()));
        }
        let record: Option<LogLine> = serde_json::from_str(line).ok();
        Ok(record.map(|record| show::log(&record)))
    })
}

/// Prints each line as it arrives, in the form that `shown` returns; `None` omits it.
fn stream(
    mut lines: Lines,
    mut shown: impl FnMut(&str) -> Result<Option<String>, ClientError>,
) -> Result<(), Fault> {
    let mut out = BufWriter::new(io::stdout().lock());
    while let Some(line) = lines.next_line()? {
        if let Some(line) = shown(&line)? {
            writeln!(out, "{line}").and_then(|()| out.flush()).map_err(Fault::Output)?;
        }
    }
    Ok(())
}

/// The line, if it is a JSON record. Characters that a terminal obeys are escaped; a run of this
/// version escapes them itself.
fn record(line: &str) -> Result<String, ClientError> {
    if line.chars().any(is_obeyed) {
        let record: serde_json::Value = serde_json::from_str(line)?;
        return Ok(json::line(&record).trim_end().into());
    }
    let _: IgnoredAny = serde_json::from_str(line)?;
    Ok(line.into())
}

/// Prints a text that may hold what a run sent, for the width of the terminal.
fn put_visible(text: &str) -> Result<(), Fault> {
    let lines = text.lines().map(|line| visible(line.as_bytes()) + "\n");
    put(&wrap(&lines.collect::<String>(), print::width()))
}

fn put(text: &str) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(Fault::Output)
}
