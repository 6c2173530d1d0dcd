//! `supervisor each`: runs a command in a process of its own for each job.

mod inputs;
mod output;
mod script;

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    path::{self, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use pool::rules::{Halt, Intensity, JobRules, Prefetch, Recycle, Repeats, Restart, RetryOn, Roll};
use process::spawn::lookup;
use supervisor::{
    dry_run::dry_run,
    model::TAIL_BYTES,
    settings::{
        Capture, CommandSettings, JobSource, Jobs, Output, Report, Settings, Wire, Workers,
    },
    template::{Reading, Template},
};
use text::units::{parse_duration, parse_size};
use worker::frame::FRAME_BYTES_MAX;

pub(super) use self::output::create_directory;
use self::output::{OutputArgument, output_form, report_form};
use super::{
    exit,
    jobs::START_TIMEOUT,
    journaling::{self, Set},
    print, program,
    refusal::Faults,
    rules::{self, SOURCES},
    run::FormatArgument,
    views,
};

/// Time that a launcher gets in addition to the grace period, in which it stops its command.
const LAUNCHER_GRACE: Duration = Duration::from_secs(1);

const OUTPUT: &str = "Output";

/// Run a command for each input, several at a time, and report what failed and why.
///
/// Inputs are lines of standard input, of a file (-a), or arguments (:::). The command is run as
/// it stands, not by a shell, with the input in place of {}, or behind it.
#[derive(Debug, Args)]
#[command(after_help = "\
Placeholders: {} the input, {.} without its extension, {/} its last component, {//} its directory, \
{/.} its last component without extension, {#} the job's number, {%} the slot's, {1} {2}… the first \
and second of several inputs, and {1.} and so on. The environment has SUPERVISOR_JOB, \
SUPERVISOR_ATTEMPT, SUPERVISOR_SLOT and SUPERVISOR_WORKERS.

Several lists of inputs are combined, each of one with each of the other; :::+ walks a list in step \
with the one before it. :::: FILE is the same as -a FILE before COMMAND.

Examples:
  supervisor each gzip -k {} ::: *.log
  find . -name '*.wav' -print0 | supervisor each -0 lame --quiet {} {.}.mp3
  supervisor each -j 8 --timeout 30s --retries 2 --joblog log.tsv -a urls.txt curl -sfO
  supervisor each --shell 'sort {} | uniq -c > {/}.counts' ::: data/*
  supervisor each echo {1}-{2} ::: a b c ::: 1 2 3")]
pub(super) struct Arguments {
    #[command(flatten)]
    program: program::Arguments,

    /// Read inputs from FILE, one per line; - is stdin, the default without :::
    #[arg(short = 'a', long, alias = "arg-file", value_name = "FILE", help_heading = SOURCES)]
    jobs_from: Option<PathBuf>,

    #[command(flatten)]
    rules: rules::Arguments,

    /// COMMAND and ARGS are a script for sh -c, into which inputs are put between quotes; without
    /// COMMAND each input is a script
    #[arg(long, help_heading = SOURCES)]
    shell: bool,

    /// Put the input in place of STR, and leave braces alone
    #[arg(short = 'I', value_name = "STR", help_heading = SOURCES)]
    replace: Option<String>,

    /// Pass the input on stdin instead of as an argument
    #[arg(long, help_heading = SOURCES)]
    stdin: bool,

    /// Print the commands, and run none
    #[arg(long, help_heading = SOURCES)]
    dry_run: bool,

    /// From the start of one job to that of the next
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = rules::RULES)]
    delay: Option<Duration>,

    /// What the commands write: all of it once one has ended (grouped), each line as it comes
    /// (lines), the bytes as they come (raw), none, or into files of a directory (files:DIR)
    /// [default: grouped]
    #[arg(long, value_name = "FORM", value_parser = output_form, help_heading = OUTPUT)]
    output: Option<OutputArgument>,

    /// The same as --output grouped
    #[arg(long, conflicts_with_all = ["output", "line_buffer", "ungroup"], help_heading = OUTPUT)]
    group: bool,

    /// The same as --output lines
    #[arg(long, visible_alias = "lb", conflicts_with_all = ["output", "ungroup"], help_heading = OUTPUT)]
    line_buffer: bool,

    /// The same as --output raw
    #[arg(short, long, conflicts_with = "output", help_heading = OUTPUT)]
    ungroup: bool,

    /// Keep at most SIZE of each stream of a command: of a longer one, its beginning and its end
    /// [default: all of it]
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = OUTPUT)]
    max_output: Option<u64>,

    /// What stdout carries: text, or one JSON record a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text", help_heading = OUTPUT)]
    format: FormatArgument,

    /// Write a line for each attempt to FILE: GNU parallel's columns, and behind them the attempt,
    /// the cause and the peak of memory in KiB
    ///
    /// A killed job has 128 + the signal as its Exitval. (GNU parallel has 0.)
    #[arg(long, value_name = "FILE", help_heading = OUTPUT)]
    joblog: Option<PathBuf>,

    /// Write a report of all jobs: junit:FILE, or jsonl:FILE
    #[arg(long, value_name = "FORM:FILE", value_parser = report_form, help_heading = OUTPUT)]
    report: Vec<Report>,

    #[command(flatten)]
    journaling: journaling::Arguments,

    #[command(flatten)]
    views: views::Arguments,

    /// The command and its arguments. Options after COMMAND belong to the command; after :::, each
    /// argument is an input
    #[arg(value_names = ["COMMAND", "ARGS"], num_args = 0.., trailing_var_arg = true)]
    argv: Vec<OsString>,
}

pub(super) fn main(arguments: Arguments) -> ExitCode {
    let is_dry = arguments.dry_run;
    let settings = match Settings::try_from(arguments) {
        Ok(settings) => settings,
        Err(faults) => return faults.exit(),
    };
    let is_typed = settings.jobs.as_ref().is_some_and(|jobs| jobs.source == JobSource::Stdin);
    if is_typed && io::stdin().is_terminal() {
        print::message("inputs come from the terminal, a line each; Ctrl-D ends them");
    }
    if is_dry {
        return match dry_run(&settings, &mut io::stdout().lock()) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => exit::cannot_show(error),
        };
    }
    if !settings.program.argv.is_empty()
        && let Err(fault) = lookup::check(&settings.program)
    {
        return exit::cannot_start(fault, &settings.program);
    }
    if let Err(faults) = create_directory(&settings) {
        return faults.exit();
    }
    program::run(&settings)
}

impl TryFrom<Arguments> for Settings {
    type Error = Faults;

    fn try_from(mut arguments: Arguments) -> Result<Self, Faults> {
        let source = arguments.source();
        arguments.into_settings(source)
    }
}

impl Arguments {
    /// Converts the arguments, with jobs from this source.
    ///
    /// # Errors
    /// All faults of the arguments, and those of the source.
    pub(super) fn into_settings(
        self,
        source: Result<JobSource, Faults>,
    ) -> Result<Settings, Faults> {
        let mut faults = Faults::default();
        let source = faults.take(source);
        let template = source.as_ref().and_then(|source| self.template(source, &mut faults));
        let (output, capture) = self.output(&mut faults);
        let halt = faults.take(self.rules.halt());
        let journal = faults.take(self.journaling.journal(&self.argv, self.set()));
        self.rules.repeats_fault(None).into_iter().for_each(|fault| faults.add(fault));
        let argv = template.as_ref().and_then(Template::program).map(|word| vec![word.to_owned()]);
        let program = faults.take(self.program.to_program(argv.unwrap_or_default()));
        let all = source.zip(template).zip(halt).zip(journal).zip(program);
        let ((((source, template), halt), journal), program) = faults.or(all)?;
        let repeats = journaling::repeats(self.rules.at_most_once, journal.as_ref());
        let (grace, stdin) = (self.program.grace, self.stdin);
        let (stop_signal, kill_scope) = (self.program.stop_signal, self.program.kill.into());
        let commands = CommandSettings { template, grace, stop_signal, kill_scope, stdin, capture };
        Ok(Settings {
            workers: self.program.workers.unwrap_or_else(Workers::auto),
            restart: Restart::Always,
            intensity: Intensity::default(),
            roll: Roll::StartFirst,
            grace: grace + LAUNCHER_GRACE,
            stop_signal,
            kill_scope,
            output,
            reports: self.reports(),
            serve: self.views.serve(),
            name: self.views.name(),
            notify: program::service_manager(),
            program,
            jobs: Some(Jobs {
                source,
                separator: self.rules.separator(),
                keep_order: self.rules.keep_order,
                progress: self.rules.progress(),
                wire: Wire::Frames,
                frame_bytes_max: FRAME_BYTES_MAX,
                commands: Some(commands),
                journal,
                rules: self.to_rules(halt, repeats),
            }),
        })
    }

    fn template(&self, source: &JobSource, faults: &mut Faults) -> Option<Template> {
        if self.argv.is_empty() && self.stdin {
            faults.add("--stdin gives the input to a COMMAND, and there is none");
            return None;
        }
        if self.replace.as_ref().is_some_and(String::is_empty) {
            faults.add("-I wants a placeholder that is not empty, such as -I ,,");
            return None;
        }
        if let Some(word) = self.argv.first().filter(|_| !self.shell) {
            faults.take(script::refuse(word, self.program.cwd.as_deref()))?;
        }
        let inputs = match source {
            JobSource::Product(lists) => lists.iter().map(Vec::len).sum(),
            _ => 1,
        };
        let (shell, replace, append) = (self.shell, self.replace.as_deref(), !self.stdin);
        let reading = Reading { shell, replace, inputs, append };
        faults.take(Template::read(&self.argv, reading).map_err(|error| error.to_string()))
    }

    fn output(&self, faults: &mut Faults) -> (Output, Capture) {
        let is_jsonl = self.format == FormatArgument::Jsonl;
        let form = match &self.output {
            Some(form) => form.clone(),
            None if self.line_buffer => OutputArgument::Lines,
            None if self.ungroup => OutputArgument::Raw,
            None => OutputArgument::Grouped,
        };
        let is_given = self.output.is_some() || self.group || self.line_buffer || self.ungroup;
        let tag = self.rules.tag;
        if is_jsonl && is_given {
            faults.add(
                "--output has no meaning with --format jsonl: what a command writes is in its \
                 record",
            );
        }
        let is_kept = form == OutputArgument::Grouped;
        if self.max_output.is_some() && !is_kept {
            faults.add("--max-output has no meaning where output is not kept");
        }
        if tag && (is_jsonl || !matches!(form, OutputArgument::Grouped | OutputArgument::Lines)) {
            faults.add("--tag has no meaning here: it is for lines of --output grouped or lines");
        }
        let bytes_max = self.max_output;
        match form {
            OutputArgument::Grouped if is_jsonl => (Output::Jsonl, Capture::Keep { bytes_max }),
            OutputArgument::Grouped => (Output::Grouped { tag }, Capture::Keep { bytes_max }),
            OutputArgument::Lines => {
                (Output::Lines { timestamps: false, tag }, Capture::Pass { lines: true, tag })
            }
            OutputArgument::Raw => (Output::Raw, Capture::Pass { lines: false, tag: false }),
            // The end of the output is still kept as evidence of how the command ended.
            OutputArgument::None => {
                (Output::None, Capture::Keep { bytes_max: Some(TAIL_BYTES as u64) })
            }
            OutputArgument::Files(directory) => {
                // Commands may start in another directory.
                let directory = path::absolute(&directory).unwrap_or(directory);
                (Output::Files, Capture::Files(directory))
            }
        }
    }

    fn reports(&self) -> Vec<Report> {
        let joblog = self.joblog.clone().map(Report::Joblog);
        let reports = joblog.into_iter().chain(self.report.iter().cloned());
        reports.chain(self.views.reports()).collect()
    }

    /// Returns the options that decide how commands end.
    fn set(&self) -> Set {
        let mut set = Set::new("each", &self.program, &self.rules);
        set.flag("--shell", self.shell);
        set.flag("--stdin", self.stdin);
        set.put("-I", self.replace.as_deref());
        set
    }

    fn to_rules(&self, halt: Option<Halt>, repeats: Repeats) -> JobRules {
        JobRules {
            retries: self.rules.retries.unwrap_or(0),
            retry_delay: self.rules.retry_delay(),
            retry_on: RetryOn { error: true, panic: true, timeout: true },
            crash_retries: u32::from(!self.rules.at_most_once),
            repeats,
            timeout: self.rules.timeout,
            deadline: self.rules.deadline,
            prefetch: Prefetch::Ahead,
            delay: self.delay.unwrap_or_default(),
            halt,
            start_timeout: START_TIMEOUT,
            recycle: Recycle::default(),
        }
    }
}
