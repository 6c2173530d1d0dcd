//! `supervisor run` with jobs: what was typed about them.

use std::{ffi::OsString, num::NonZeroU32, path::PathBuf, time::Duration};

use clap::Args;
use pool::rules::{Depth, JobRules, Recycle, RetryOn};
use protocol::{codec::WIRE_BYTES_MAX, frame::FRAME_BYTES_MAX};
use supervisor::settings::{JobSource, Jobs, Journal};
use text::units::{parse_size, show_size};

use super::{
    program,
    record::{self, Set},
    rules::{self, RULES, SOURCES, some_time},
};

/// Parts the program's own arguments from jobs on the command line.
pub(super) const ARGUMENTS_FOLLOW: &str = ":::";
/// A frame must hold at least the messages that are not jobs.
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

    /// How many jobs a worker is sent at a time: auto, or a number [default: auto]
    ///
    /// auto is 1 at first, and grows for short jobs to about a millisecond's work.
    #[arg(long, value_name = "N", value_parser = depth, help_heading = WORKERS)]
    depth: Option<Depth>,

    /// How long a worker may take to speak the protocol [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = WORKERS)]
    start_timeout: Option<Duration>,

    /// Replace a worker by a fresh one after so many jobs
    #[arg(long, value_name = "N", value_parser = some_jobs, help_heading = WORKERS)]
    recycle_jobs: Option<NonZeroU32>,

    /// Replace a worker by a fresh one once its resident memory is so large
    #[arg(long, value_name = "SIZE", value_parser = some_memory, help_heading = WORKERS)]
    recycle_rss: Option<u64>,

    /// Replace a worker by a fresh one once it is so old
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = WORKERS)]
    recycle_age: Option<Duration>,

    /// The longest message to or from a worker [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = frame_bytes, help_heading = WORKERS)]
    max_frame: Option<usize>,
}

impl Arguments {
    /// What is to be done with jobs, if any were given; `arguments` are those on the command
    /// line.
    ///
    /// # Errors
    /// What is said to whoever typed them.
    pub(super) fn to_jobs(
        &self,
        arguments: Option<Vec<OsString>>,
        journal: Option<Journal>,
    ) -> Result<Option<Jobs>, String> {
        let Some(source) = self.source(arguments)? else {
            return match self.about_jobs(journal.is_some()) {
                Some((flag, instead)) => Err(format!(
                    "{flag} is about jobs, and this run has none: {instead}; \
                     to give it jobs: -a FILE, --follow FILE, or ::: JOB…"
                )),
                None => Ok(None),
            };
        };
        if self.rules.null && matches!(source, JobSource::Arguments(_)) {
            return Err("-0 has no meaning with :::, where each argument is a job".into());
        }
        let all = RetryOn { error: true, panic: true, timeout: true };
        Ok(Some(Jobs {
            source,
            separator: self.rules.separator(),
            keep_order: self.rules.keep_order,
            progress: self.rules.progress(),
            frame_bytes_max: self.max_frame.unwrap_or(FRAME_BYTES_MAX),
            commands: None,
            journal,
            rules: JobRules {
                retries: self.rules.retries.unwrap_or(0),
                retry_delay: self.rules.retry_delay(),
                retry_on: self.retry_on.unwrap_or(all),
                crash_retries: self.crash_retries.unwrap_or(1),
                timeout: self.rules.timeout,
                deadline: self.rules.deadline,
                depth: self.depth.unwrap_or(Depth::Auto),
                delay: Duration::ZERO,
                halt: self.rules.halt()?,
                start_timeout: self.start_timeout.unwrap_or(START_TIMEOUT),
                recycle: Recycle {
                    jobs: self.recycle_jobs.map(|jobs| u64::from(jobs.get())),
                    resident_bytes: self.recycle_rss,
                    age: self.recycle_age,
                },
            },
        }))
    }

    /// What was set that decides how jobs end.
    pub(super) fn set(&self, program: &program::Arguments) -> Set {
        let mut set = Set::new("run", program, &self.rules);
        set.put("--retry-on", self.retry_on.map(shown_kinds));
        set.put("--crash-retries", self.crash_retries.map(|retries| retries.to_string()));
        set.put("--max-frame", self.max_frame.map(|bytes| record::size(bytes as u64)));
        set
    }

    /// What is said where there is no program.
    pub(super) fn without_program(&self, on_command_line: bool) -> String {
        let form = match (on_command_line, &self.jobs_from, &self.follow) {
            (true, ..) => "PROGRAM [ARGS]… ::: JOB…".into(),
            (_, Some(file), _) => format!("-a {} PROGRAM [ARGS]…", file.display()),
            (_, _, Some(file)) => format!("--follow {} PROGRAM [ARGS]…", file.display()),
            _ => "PROGRAM [ARGS]…".into(),
        };
        format!("name the PROGRAM to be run: supervisor run {form}; more: supervisor run --help")
    }

    fn source(&self, arguments: Option<Vec<OsString>>) -> Result<Option<JobSource>, String> {
        let dash = |path: &PathBuf| path.as_os_str() == "-";
        match (&self.jobs_from, &self.follow, arguments) {
            (None, None, None) => Ok(None),
            (Some(path), None, None) if dash(path) => Ok(Some(JobSource::Stdin)),
            (Some(path), None, None) => Ok(Some(JobSource::File(path.clone()))),
            (None, Some(path), None) if dash(path) => {
                Err("--follow wants a file: standard input is followed anyway by -a -".into())
            }
            (None, Some(path), None) => Ok(Some(JobSource::Follow(path.clone()))),
            (None, None, Some(arguments)) => Ok(Some(JobSource::Arguments(arguments))),
            _ => Err("jobs come from one place: -a FILE, --follow FILE, or ::: JOB…".into()),
        }
    }

    /// A flag that means nothing without jobs, and what to do instead.
    fn about_jobs(&self, has_journal: bool) -> Option<(&'static str, &'static str)> {
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
            (self.retry_on.is_some(), "--retry-on", RESTART),
            (self.crash_retries.is_some(), "--crash-retries", RESTART),
            (rules.timeout.is_some(), "--timeout", BOUND),
            (rules.deadline.is_some(), "--deadline", BOUND),
            (rules.max_fail.is_some(), "--max-fail", ENDS),
            (rules.halt.is_some(), "--halt", ENDS),
            (self.depth.is_some(), "--depth", "its workers have no queue"),
            (self.start_timeout.is_some(), "--start-timeout", "nothing is expected of its workers"),
            (self.recycle_jobs.is_some(), "--recycle-jobs", ROLL),
            (self.recycle_rss.is_some(), "--recycle-rss", ROLL),
            (self.recycle_age.is_some(), "--recycle-age", ROLL),
            (self.max_frame.is_some(), "--max-frame", "its workers are sent nothing"),
            (has_journal, "--journal", "its workers are told of as they end"),
        ];
        let given = flags.into_iter().find(|(given, ..)| *given);
        given.map(|(_, flag, instead)| (flag, instead))
    }
}

fn some_jobs(text: &str) -> Result<NonZeroU32, String> {
    text.parse().map_err(|_| "write after how many jobs, at least 1: 1000, say".into())
}

fn some_memory(text: &str) -> Result<u64, String> {
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

fn depth(text: &str) -> Result<Depth, String> {
    match text.parse() {
        _ if text == "auto" => Ok(Depth::Auto),
        Ok(depth @ 1..=Depth::MAX) => Ok(Depth::Fixed(depth)),
        _ => Err(format!("write auto, or 1 to {}", Depth::MAX)),
    }
}

/// As they are typed.
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
