//! `supervisor run`: runs copies of a program, or workers that process jobs.

use std::{ffi::OsString, process::ExitCode, time::Duration};

use clap::{Args, ValueEnum};
use pool::rules::{Intensity, Restart, Roll};
use supervisor::settings::{Output, Settings, Workers};

use super::{jobs, journaling, program, refusal::Faults, rules::positive_duration, views};

/// Run copies of a program, side by side, each in a process of its own; with jobs, workers that
/// do them.
///
/// Without jobs, the workers' output comes out line by line with the worker's number in front,
/// and at the end: how each one ended, why, and what it used.
///
/// With jobs (-a, --follow or :::) the program must speak the worker protocol. Each job is sent
/// to a worker, and its reply comes out on stdout; a job that crashes, leaks or hangs costs one
/// job, and the report says why.
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
    /// At once if it had been ready; after a crash that follows another, or comes before it was
    /// ready, after 100 ms, twice as long each time, to 30 s. At too many crashes its slot is given
    /// up: see --restart-intensity. An end with success is no crash, nor is a kill from outside.
    /// [default: never; with jobs always]
    #[arg(long, value_name = "WHEN", value_enum)]
    restart: Option<RestartArgument>,

    /// Give a slot up at the Nth crash of its workers within --restart-period. scale, kill and HUP
    /// start it again [default: 10]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    restart_intensity: Option<u32>,

    /// The time within which --restart-intensity counts crashes [default: 5m]
    #[arg(long, value_name = "TIME", value_parser = positive_duration)]
    restart_period: Option<Duration>,

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
    journaling: journaling::Arguments,

    #[command(flatten)]
    views: views::Arguments,

    /// The program of each worker and its arguments. Options after PROGRAM belong to the program;
    /// after :::, each argument is a job
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
        Err(faults) => return faults.exit(),
    };
    program::run(&settings)
}

impl TryFrom<Arguments> for Settings {
    type Error = Faults;

    fn try_from(mut arguments: Arguments) -> Result<Self, Faults> {
        let on_command_line = arguments.split_jobs();
        arguments.into_settings(on_command_line)
    }
}

impl Arguments {
    /// Converts the arguments; `on_command_line` are the jobs after `:::`.
    ///
    /// # Errors
    /// All faults of the arguments.
    pub(super) fn into_settings(
        self,
        on_command_line: Option<Vec<OsString>>,
    ) -> Result<Settings, Faults> {
        let mut faults = Faults::default();
        if self.argv.is_empty() {
            faults.add(self.jobs.without_program(on_command_line.is_some()));
        }
        let has_jobs = self.jobs.has_source() || on_command_line.is_some();
        let set = self.jobs.set(&self.program);
        let journal = faults.take(self.journaling.journal(&self.argv, set));
        let jobs = faults.take(self.jobs.to_jobs(on_command_line, journal.flatten()));
        let restart = self.restart(has_jobs, &mut faults);
        let roll = self.roll(restart, &mut faults);
        let intensity = self.intensity(restart, &mut faults);
        let output = self.output(has_jobs, &mut faults);
        let (grace, stop_signal) = (self.program.grace, self.program.stop_signal);
        let (kill_scope, workers) = (self.program.kill.into(), self.program.workers);
        let program = faults.take(self.program.to_program(self.argv));
        faults.or(jobs.zip(program).map(|(jobs, program)| Settings {
            workers: workers.unwrap_or_else(|| match has_jobs {
                true => Workers::auto(),
                false => Workers::ONE,
            }),
            restart,
            intensity,
            roll,
            grace,
            stop_signal,
            kill_scope,
            output,
            jobs,
            reports: self.views.reports(),
            serve: self.views.serve(),
            name: self.views.name(),
            notify: program::service_manager(),
            program,
        }))
    }

    fn restart(&self, has_jobs: bool, faults: &mut Faults) -> Restart {
        match self.restart {
            Some(_) if has_jobs => {
                faults.add(
                    "--restart has no meaning with jobs: a worker that ends is always replaced \
                     while there are some",
                );
                Restart::Always
            }
            None if has_jobs => Restart::Always,
            None | Some(RestartArgument::Never) => Restart::Never,
            Some(RestartArgument::OnFailure) => Restart::OnFailure,
            Some(RestartArgument::Always) => Restart::Always,
        }
    }

    fn intensity(&self, restart: Restart, faults: &mut Faults) -> Intensity {
        let is_given = self.restart_intensity.is_some() || self.restart_period.is_some();
        if is_given && restart == Restart::Never {
            faults.add(
                "--restart-intensity and --restart-period have no meaning here: workers are \
                 started again only under --restart on-failure or always",
            );
        }
        let default = Intensity::default();
        Intensity {
            crashes: self.restart_intensity.unwrap_or(default.crashes),
            period: self.restart_period.unwrap_or(default.period),
        }
    }

    fn roll(&self, restart: Restart, faults: &mut Faults) -> Roll {
        if self.roll.is_some() && restart != Restart::Always {
            faults
                .add("--roll has no meaning here: workers are rolled only under --restart always");
        }
        match self.roll {
            None | Some(RollArgument::StartFirst) => Roll::StartFirst,
            Some(RollArgument::StopFirst) => Roll::StopFirst,
        }
    }

    /// Removes `:::` and the jobs after it from the program's arguments, and returns the jobs.
    fn split_jobs(&mut self) -> Option<Vec<OsString>> {
        let at = self.argv.iter().position(|argument| argument == jobs::ARGUMENTS_FOLLOW)?;
        let jobs = self.argv.split_off(at + 1);
        self.argv.pop();
        Some(jobs)
    }

    fn output(&self, has_jobs: bool, faults: &mut Faults) -> Output {
        use {
            FormatArgument::{Jsonl, Text},
            OutputArgument::{Lines, Raw},
        };
        // Without jobs, `--tag` is refused elsewhere.
        let (timestamps, tag) = (self.timestamps, self.jobs.rules.tag && has_jobs);
        let mut refuse = |is_given: bool, fault| {
            if is_given {
                faults.add(fault);
            }
        };
        match (self.format, self.output) {
            (Jsonl, output) => {
                refuse(
                    output.is_some(),
                    "--output has no meaning with --format jsonl: lines come as records",
                );
                refuse(
                    timestamps,
                    "--timestamps has no meaning with --format jsonl: the records of starts and \
                     ends carry the time",
                );
                refuse(tag, "--tag has no meaning with --format jsonl: records name their job");
                Output::Jsonl
            }
            (Text, Some(Raw)) => {
                refuse(
                    has_jobs,
                    "--output raw has no meaning with jobs: stdout carries their replies",
                );
                refuse(
                    timestamps,
                    "--timestamps has no meaning with --output raw: there are no lines",
                );
                Output::Raw
            }
            (Text, Some(OutputArgument::None)) => {
                refuse(
                    timestamps || tag,
                    "--timestamps and --tag have no meaning with --output none",
                );
                Output::None
            }
            (Text, None | Some(Lines)) => Output::Lines { timestamps, tag },
        }
    }
}
