//! The arguments of `supervisor run` about jobs.

use std::{ffi::OsString, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use pool::rules::{JobRules, Prefetch, Recycle, RecycleFailures, RetryOn};
use protocol::{codec::WIRE_BYTES_MAX, frame::FRAME_BYTES_MAX};
use supervisor::settings::{JobSource, Jobs, Journal, Wire};
use text::units::{parse_size, show_size};

use super::{
    journaling::{self, Set},
    program,
    refusal::Faults,
    rules::{self, RULES, SOURCES, positive_duration},
};

/// Separates the program's arguments from jobs on the command line.
pub(super) const ARGUMENTS_FOLLOW: &str = ":::";
/// Minimum of `--max-frame`: a frame must hold the messages that are not jobs.
const FRAME_BYTES_MIN: u64 = 4 << 10;
pub(super) const START_TIMEOUT: Duration = Duration::from_secs(30);

const WORKERS: &str = "Workers that take jobs";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Each line of FILE is a job; - is standard input. The program must speak the worker
    /// protocol
    #[arg(short = 'a', long, value_name = "FILE", help_heading = SOURCES)]
    jobs_from: Option<PathBuf>,

    #[command(flatten)]
    pub(super) rules: rules::Arguments,

    /// Each line of FILE is a job, and so is each that is appended to it, until you stop the run
    #[arg(long, value_name = "FILE", help_heading = SOURCES)]
    follow: Option<PathBuf>,

    /// Which failures are tried again: error, panic, timeout [default: all]
    #[arg(long, value_name = "KIND,…", value_parser = retry_on, help_heading = RULES)]
    retry_on: Option<RetryOn>,

    /// Further attempts, alone in a fresh worker, of a job that killed its worker [default: 1]
    #[arg(long, value_name = "N", help_heading = RULES)]
    crash_retries: Option<u32>,

    /// How workers get jobs: frames of the worker protocol, or lines: each job is a line on the
    /// worker's stdin, and its answer a line on the worker's stdout [default: frames]
    ///
    /// With lines, any filter that answers each line with a line at once is a worker: awk, sed -u,
    /// jq --unbuffered.
    #[arg(long, value_name = "FORM", value_enum, help_heading = WORKERS)]
    wire: Option<WireArgument>,

    /// How many jobs a worker is sent at a time: auto, or a number [default: auto]
    ///
    /// auto is 1 at first, and grows for short jobs to about a millisecond's work; for workers
    /// that cannot give jobs back, such as those of --wire lines, it stays at 1.
    #[arg(long, value_name = "N", value_parser = depth, help_heading = WORKERS)]
    depth: Option<Prefetch>,

    /// How long a worker may take to speak the protocol [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = positive_duration, help_heading = WORKERS)]
    start_timeout: Option<Duration>,

    /// Replace a worker by a fresh one after N jobs
    #[arg(long, value_name = "N", value_parser = job_count, help_heading = WORKERS)]
    recycle_jobs: Option<NonZeroU32>,

    /// Replace a worker by a fresh one once its resident memory reaches SIZE
    #[arg(long, value_name = "SIZE", value_parser = positive_size, help_heading = WORKERS)]
    recycle_rss: Option<u64>,

    /// Replace a worker by a fresh one after TIME
    #[arg(long, value_name = "TIME", value_parser = positive_duration, help_heading = WORKERS)]
    recycle_age: Option<Duration>,

    /// Replace a worker by a fresh one once it has failed N different jobs in a row; auto, once
    /// chance does not explain its failures because other workers succeed; or never [default: auto]
    ///
    /// With auto, 3 failures are enough beside many successes, and 14 if no other worker has
    /// answered meanwhile. If every job fails everywhere, the workers are kept. A failure for want
    /// of memory under --memory is enough, unless it is the worker's first job.
    #[arg(long, value_name = "N", value_parser = failures, help_heading = WORKERS)]
    recycle_failures: Option<RecycleFailures>,

    /// The longest message to or from a worker; with --wire lines, the longest line
    /// [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = frame_bytes, help_heading = WORKERS)]
    max_frame: Option<usize>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
enum WireArgument {
    Frames,
    Lines,
}

impl Arguments {
    /// Whether an option names a source of jobs.
    pub(super) fn has_source(&self) -> bool {
        self.jobs_from.is_some() || self.follow.is_some()
    }

    /// Converts the arguments; `None` if there are no jobs. `arguments` are the jobs on the
    /// command line.
    ///
    /// # Errors
    /// All faults of the arguments.
    pub(super) fn to_jobs(
        &self,
        arguments: Option<Vec<OsString>>,
        journal: Option<Journal>,
    ) -> Result<Option<Jobs>, Faults> {
        let mut faults = Faults::default();
        let has_jobs = self.has_source() || arguments.is_some();
        if !has_jobs {
            self.refuse_without_jobs(journal.is_some(), &mut faults);
            return faults.or(Some(None));
        }
        if self.rules.null && arguments.is_some() {
            faults.add("-0 has no meaning with :::, where each argument is a job");
        }
        self.rules.repeats_fault(self.crash_retries).into_iter().for_each(|it| faults.add(it));
        let repeats = journaling::repeats(self.rules.at_most_once, journal.as_ref());
        let crash_retries = self.crash_retries.unwrap_or(u32::from(!self.rules.at_most_once));
        if self.wire() == Wire::Lines && self.start_timeout.is_some() {
            faults.add("--start-timeout has no meaning with --wire lines: there is no hello");
        }
        let source = faults.take(self.source(arguments));
        let halt = faults.take(self.rules.halt());
        let all = RetryOn { error: true, panic: true, timeout: true };
        faults.or(source.zip(halt).map(|(source, halt)| {
            Some(Jobs {
                source,
                separator: self.rules.separator(),
                keep_order: self.rules.keep_order,
                progress: self.rules.progress(),
                wire: self.wire(),
                frame_bytes_max: self.max_frame.unwrap_or(FRAME_BYTES_MAX),
                commands: None,
                journal,
                rules: JobRules {
                    retries: self.rules.retries.unwrap_or(0),
                    retry_delay: self.rules.retry_delay(),
                    retry_on: self.retry_on.unwrap_or(all),
                    crash_retries,
                    repeats,
                    timeout: self.rules.timeout,
                    deadline: self.rules.deadline,
                    prefetch: self.depth.unwrap_or(Prefetch::Auto),
                    delay: Duration::ZERO,
                    halt,
                    start_timeout: self.start_timeout.unwrap_or(START_TIMEOUT),
                    recycle: Recycle {
                        jobs: self.recycle_jobs.map(|jobs| u64::from(jobs.get())),
                        resident_bytes: self.recycle_rss,
                        age: self.recycle_age,
                        failures: self.recycle_failures.unwrap_or_default(),
                    },
                },
            })
        }))
    }

    fn wire(&self) -> Wire {
        match self.wire {
            None | Some(WireArgument::Frames) => Wire::Frames,
            Some(WireArgument::Lines) => Wire::Lines,
        }
    }

    /// Returns the options that decide how jobs end.
    pub(super) fn set(&self, program: &program::Arguments) -> Set {
        let mut set = Set::new("run", program, &self.rules);
        set.put("--retry-on", self.retry_on.map(shown_kinds));
        set.put("--crash-retries", self.crash_retries.map(|retries| retries.to_string()));
        let is_lines = self.wire() == Wire::Lines;
        set.put("--wire", is_lines.then(|| "lines".to_owned()));
        set.put("--max-frame", self.max_frame.map(|bytes| journaling::size(bytes as u64)));
        set
    }

    /// Returns the message for a command line without a program.
    pub(super) fn without_program(&self, on_command_line: bool) -> String {
        let form = match (on_command_line, &self.jobs_from, &self.follow) {
            (true, ..) => "PROGRAM [ARGS]… ::: JOB…".into(),
            (_, Some(file), _) => format!("-a {} PROGRAM [ARGS]…", file.display()),
            (_, _, Some(file)) => format!("--follow {} PROGRAM [ARGS]…", file.display()),
            _ => "PROGRAM [ARGS]…".into(),
        };
        format!("name the PROGRAM to be run: supervisor run {form}; more: supervisor run --help")
    }

    /// Returns the one source of jobs.
    fn source(&self, arguments: Option<Vec<OsString>>) -> Result<JobSource, &'static str> {
        let dash = |path: &PathBuf| path.as_os_str() == "-";
        match (&self.jobs_from, &self.follow, arguments) {
            (Some(path), None, None) if dash(path) => Ok(JobSource::Stdin),
            (Some(path), None, None) => Ok(JobSource::File(path.clone())),
            (None, Some(path), None) if dash(path) => {
                Err("--follow wants a file: standard input is followed anyway by -a -")
            }
            (None, Some(path), None) => Ok(JobSource::Follow(path.clone())),
            (None, None, Some(arguments)) => Ok(JobSource::Arguments(arguments)),
            _ => Err("jobs come from one place: -a FILE, --follow FILE, or ::: JOB…"),
        }
    }

    /// Refuses every option that has no effect without jobs, and names what to do instead.
    fn refuse_without_jobs(&self, has_journal: bool, faults: &mut Faults) {
        const RESTART: &str = "to start a worker again when it fails, use --restart on-failure";
        const BOUND: &str = "to bound the whole run, use `timeout 30s supervisor run …`";
        const LINES: &str = "lines come as the workers write them";
        const ENDS: &str = "a worker's end never stops the others";
        const ENDS_SHOWN: &str = "USR1 prints how its workers stand";
        const COPIES: &str = "it runs --workers copies of the program as it stands";
        const ROLL: &str = "to replace its workers, use --restart always and send it a HUP";
        let rules = &self.rules;
        let flags = [
            (rules.null, "-0", COPIES),
            (rules.keep_order, "--keep-order", LINES),
            (rules.bar, "--bar", ENDS_SHOWN),
            (rules.progress.is_some(), "--progress", ENDS_SHOWN),
            (rules.tag, "--tag", "each line has its worker's number in front"),
            (rules.retries.is_some(), "--retries", RESTART),
            (rules.retry_delay.is_some(), "--retry-delay", RESTART),
            (rules.at_most_once, "--at-most-once", RESTART),
            (self.retry_on.is_some(), "--retry-on", RESTART),
            (self.crash_retries.is_some(), "--crash-retries", RESTART),
            (rules.timeout.is_some(), "--timeout", BOUND),
            (rules.deadline.is_some(), "--deadline", BOUND),
            (rules.max_fail.is_some(), "--max-fail", ENDS),
            (rules.halt.is_some(), "--halt", ENDS),
            (self.wire.is_some(), "--wire", "its workers are sent nothing"),
            (self.depth.is_some(), "--depth", "its workers have no queue"),
            (self.start_timeout.is_some(), "--start-timeout", "nothing is expected of its workers"),
            (self.recycle_jobs.is_some(), "--recycle-jobs", ROLL),
            (self.recycle_rss.is_some(), "--recycle-rss", ROLL),
            (self.recycle_age.is_some(), "--recycle-age", ROLL),
            (self.recycle_failures.is_some(), "--recycle-failures", RESTART),
            (self.max_frame.is_some(), "--max-frame", "its workers are sent nothing"),
            (has_journal, "--journal", "the ends of its workers are reported as they happen"),
        ];
        for (_, flag, instead) in flags.into_iter().filter(|(is_given, ..)| *is_given) {
            faults.add(format!(
                "{flag} is about jobs, and this run has none: {instead}; to give it jobs: \
                 -a FILE, --follow FILE, or ::: JOB…"
            ));
        }
    }
}

fn job_count(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "write after how many jobs, at least 1: 1000, say".into())
}

fn failures(text: &str) -> Result<RecycleFailures, String> {
    match text.parse() {
        _ if text == "auto" => Ok(RecycleFailures::Auto),
        _ if text == "never" => Ok(RecycleFailures::Never),
        Ok(jobs @ 1..) => Ok(RecycleFailures::After(jobs)),
        _ => Err("write auto, never, or after how many failed jobs in a row: 5, say".into()),
    }
}

fn positive_size(text: &str) -> Result<u64, String> {
    match parse_size(text) {
        Ok(0) => Err("every worker is as large as that; write 1G, say".into()),
        Ok(bytes) => Ok(bytes),
        Err(error) => Err(error.to_string()),
    }
}

fn frame_bytes(text: &str) -> Result<usize, String> {
    let bytes = parse_size(text).map_err(|error| error.to_string())?;
    match usize::try_from(bytes) {
        Ok(cap) if bytes >= FRAME_BYTES_MIN && cap <= WIRE_BYTES_MAX => Ok(cap),
        _ => Err(format!(
            "a message may be {} to {}",
            show_size(FRAME_BYTES_MIN),
            show_size(WIRE_BYTES_MAX as u64)
        )),
    }
}

fn depth(text: &str) -> Result<Prefetch, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Prefetch::Auto),
        Ok(depth @ 1..=Prefetch::MAX) => Ok(Prefetch::Fixed(depth)),
        _ => Err(format!("write auto, or 1 to {}", Prefetch::MAX)),
    }
}

/// Formats the kinds as the option accepts them.
fn shown_kinds(on: RetryOn) -> String {
    let kinds = [(on.error, "error"), (on.panic, "panic"), (on.timeout, "timeout")];
    let kinds = kinds.into_iter().filter(|(is_on, _)| *is_on).map(|(_, kind)| kind);
    kinds.collect::<Vec<_>>().join(",")
}

fn retry_on(text: &str) -> Result<RetryOn, String> {
    let mut on = RetryOn { error: false, panic: false, timeout: false };
    for kind in text.split(',') {
        match kind {
            "error" => on.error = true,
            "panic" => on.panic = true,
            "timeout" => on.timeout = true,
            _ => {
                return Err(format!(
                    "`{kind}` is none of error, panic, timeout; for jobs that kill their worker \
                     there is --crash-retries"
                ));
            }
        }
    }
    Ok(on)
}
