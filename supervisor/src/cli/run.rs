//! `supervisor run`: programs that stay.

use std::{ffi::OsString, process::ExitCode};

use clap::{Args, ValueEnum};
use pool::rules::{Restart, Roll};
use supervisor::settings::{Output, Settings, Workers};

use super::{jobs, program, record, report, views};

/// Run copies of a program, side by side, each in a process of its own; with jobs, workers that
/// do them.
///
/// Without jobs, the workers' output comes out line by line with the worker's number in front,
/// and at the end: how each one ended, why, and what it used.
///
/// With jobs (-a, --follow or :::) the program must speak the worker protocol. Each job is sent
/// to a worker, and its reply comes out on stdout; a job that crashes, leaks or hangs costs one
/// job, and what is said of it tells why.
#[derive(Debug, Args)]
#[command(after_help = "\
Signals: INT, TERM and QUIT ask every worker to stop, and a second one kills; HUP rolls the \
workers under --restart always; USR1 prints the table so far. With jobs, the first INT, TERM \
or QUIT lets running jobs finish, and HUP rolls the workers.

Examples:
  supervisor run --workers 4 --restart always --memory 512M ./server --port 8080
  supervisor run --workers 4 -a urls.txt --timeout 30s --retries 2 ./connection_bin")]
pub(super) struct Arguments {
    #[command(flatten)]
    program: program::Arguments,

    /// When a worker that ended is started again
    ///
    /// At once if it had been up for a second; else after 100 ms, twice as long each time, to
    /// 30 s. After ten such deaths without a life of 30 s between them its slot is given up.
    /// [default: never; with jobs always]
    #[arg(long, value_name = "WHEN", value_enum)]
    restart: Option<RestartArgument>,

    /// How HUP replaces the workers, one by one: the new one ready before the old one is asked
    /// to stop, or the old one gone before the new one starts [default: start-first]
    #[arg(long, value_name = "ORDER", value_enum)]
    roll: Option<RollArgument>,

    /// The workers' output: line by line with the worker's number, the bytes as they are, or
    /// not at all; with jobs, their replies: lines or none [default: lines]
    #[arg(long, value_name = "FORM", value_enum)]
    output: Option<OutputArgument>,

    /// Put the time in front of each line
    #[arg(long)]
    timestamps: bool,

    /// What stdout carries: text, or one JSON record a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: FormatArgument,

    #[command(flatten)]
    jobs: jobs::Arguments,

    #[command(flatten)]
    record: record::Arguments,

    #[command(flatten)]
    views: views::Arguments,

    /// The program each worker runs, and its arguments; from PROGRAM on, no option is ours, and
    /// after ::: each argument is a job
    #[arg(value_names = ["PROGRAM", "ARGS"], num_args = 1.., trailing_var_arg = true)]
    argv: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RestartArgument {
    Never,
    OnFailure,
    Always,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RollArgument {
    StartFirst,
    StopFirst,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum OutputArgument {
    Lines,
    Raw,
    None,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(super) enum FormatArgument {
    Text,
    Jsonl,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    let settings = match Settings::try_from(arguments) {
        Ok(settings) => settings,
        Err(refusal) => return report::usage(&refusal),
    };
    program::run(&settings)
}

impl TryFrom<Arguments> for Settings {
    /// What is said to whoever typed them.
    type Error = String;

    fn try_from(mut arguments: Arguments) -> Result<Self, String> {
        let on_command_line = arguments.split_jobs();
        arguments.into_settings(on_command_line)
    }
}

impl Arguments {
    /// What was meant; `on_command_line` are the jobs that came with it.
    ///
    /// # Errors
    /// What is said to whoever typed it.
    pub(super) fn into_settings(
        self,
        on_command_line: Option<Vec<OsString>>,
    ) -> Result<Settings, String> {
        if self.argv.is_empty() {
            return Err(self.jobs.without_program(on_command_line.is_some()));
        }
        let tag = self.jobs.rules.tag;
        let set = self.jobs.set(&self.program);
        let journal = self.record.journal(&self.argv, set);
        let jobs = self.jobs.to_jobs(on_command_line, journal)?;
        let restart = match (self.restart, &jobs) {
            (Some(_), Some(_)) => {
                return Err("--restart has no meaning with jobs: a worker that ends is always \
                            replaced while there are some"
                    .into());
            }
            (None, None) | (Some(RestartArgument::Never), _) => Restart::Never,
            (Some(RestartArgument::OnFailure), _) => Restart::OnFailure,
            (None, Some(_)) | (Some(RestartArgument::Always), _) => Restart::Always,
        };
        if self.roll.is_some() && restart != Restart::Always {
            return Err("--roll has no meaning here: workers are rolled only under \
                        --restart always"
                .into());
        }
        let one = if jobs.is_some() { Workers::auto() } else { Workers::ONE };
        Ok(Settings {
            workers: self.program.workers.unwrap_or(one),
            restart,
            roll: match self.roll {
                None | Some(RollArgument::StartFirst) => Roll::StartFirst,
                Some(RollArgument::StopFirst) => Roll::StopFirst,
            },
            grace: self.program.grace,
            stop_signal: self.program.stop_signal,
            reach: self.program.kill.into(),
            output: self.output(jobs.is_some(), tag)?,
            jobs,
            reports: self.views.reports(),
            serve: self.views.serve(),
            name: self.views.name(),
            notify: program::notify_socket(),
            program: self.program.to_program(self.argv)?,
        })
    }

    /// Takes what follows `:::` off the program's arguments.
    fn split_jobs(&mut self) -> Option<Vec<OsString>> {
        let at = self.argv.iter().position(|argument| argument == jobs::ARGUMENTS_FOLLOW)?;
        let jobs = self.argv.split_off(at + 1);
        self.argv.pop();
        Some(jobs)
    }

    fn output(&self, has_jobs: bool, tag: bool) -> Result<Output, String> {
        use {
            FormatArgument::{Jsonl, Text},
            OutputArgument::{Lines, Raw},
        };
        let timestamps = self.timestamps;
        match (self.format, self.output) {
            (Jsonl, Some(_)) => {
                Err("--output has no meaning with --format jsonl: lines come as records".into())
            }
            (Jsonl, None) if timestamps => Err("--timestamps has no meaning with \
                 --format jsonl: the records of starts and ends carry the time"
                .into()),
            (Jsonl, None) if tag => {
                Err("--tag has no meaning with --format jsonl: records name their job".into())
            }
            (Jsonl, None) => Ok(Output::Jsonl),
            (Text, Some(Raw)) if has_jobs => {
                Err("--output raw has no meaning with jobs: stdout carries their replies".into())
            }
            (Text, Some(Raw)) if timestamps => {
                Err("--timestamps has no meaning with --output raw: there are no lines".into())
            }
            (Text, Some(Raw)) => Ok(Output::Raw),
            (Text, Some(OutputArgument::None)) if timestamps || tag => {
                Err("--timestamps and --tag have no meaning with --output none".into())
            }
            (Text, Some(OutputArgument::None)) => Ok(Output::None),
            (Text, None | Some(Lines)) => Ok(Output::Lines { timestamps, tag }),
        }
    }
}
