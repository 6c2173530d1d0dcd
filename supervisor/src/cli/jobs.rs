//! `supervisor run` with jobs: what was typed about them.

use std::{
    ffi::OsString,
    io::{self, IsTerminal},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};

use clap::{Args, ValueEnum};
use supervisor::settings::{
    Depth, Halt, HaltCount, HaltWhen, JobRules, JobSource, Jobs, Progress, Recycle, RetryOn,
    Separator,
};
use worker::{
    codec::WIRE_BYTES_MAX,
    frame::FRAME_BYTES_MAX,
    quantity::{parse_duration, parse_size, show_size},
};

/// Parts the program's own arguments from jobs on the command line.
pub(super) const ARGUMENTS_FOLLOW: &str = ":::";
/// A frame must hold at least the messages that are not jobs.
const FRAME_BYTES_MIN: u64 = 4 << 10;
const RETRY_DELAY: Duration = Duration::from_millis(100);
const START_TIMEOUT: Duration = Duration::from_secs(30);

const SOURCES: &str = "Jobs";
const RULES: &str = "What becomes of jobs";
const WORKERS: &str = "Workers that take jobs";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Each line of FILE is a job; - is standard input. The program must speak the worker
    /// protocol
    #[arg(short = 'a', long, value_name = "FILE", help_heading = SOURCES)]
    jobs_from: Option<PathBuf>,

    /// Each line of FILE is a job, and so is each that is appended to it, until you stop the run
    #[arg(long, value_name = "FILE", help_heading = SOURCES)]
    follow: Option<PathBuf>,

    /// Jobs end with a zero byte instead of a newline
    #[arg(short = '0', long, help_heading = SOURCES)]
    null: bool,

    /// Replies come out in the order of the jobs
    #[arg(short, long, help_heading = SOURCES)]
    keep_order: bool,

    /// Put the job and a tab in front of each line of its reply
    #[arg(long, help_heading = SOURCES)]
    pub(super) tag: bool,

    /// How far the jobs have come, on stderr: bar for a line that stays in its place, plain for a
    /// line every ten seconds; auto is bar on a terminal [default: auto]
    #[arg(long, value_name = "HOW", value_enum, help_heading = SOURCES)]
    progress: Option<ProgressArgument>,

    /// The same as --progress bar
    #[arg(long, conflicts_with = "progress", help_heading = SOURCES)]
    bar: bool,

    /// Further attempts of a job that fails: an error, a panic, or the time limit [default: 0]
    ///
    /// These are extra attempts: --retries 2 makes three at most. (GNU parallel counts the
    /// first.)
    #[arg(long, value_name = "N", help_heading = RULES)]
    retries: Option<u32>,

    /// From a failure to the next attempt; doubles each time, to 30 s, with 20 % of chance
    /// [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = RULES)]
    retry_delay: Option<Duration>,

    /// Which failures are tried again: error, panic, timeout [default: all]
    #[arg(long, value_name = "KIND,…", value_parser = retry_on, help_heading = RULES)]
    retry_on: Option<RetryOn>,

    /// Further attempts, alone in a fresh worker, of a job that killed its worker [default: 1]
    #[arg(long, value_name = "N", help_heading = RULES)]
    crash_retries: Option<u32>,

    /// How long an attempt may take
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = RULES)]
    timeout: Option<Duration>,

    /// How long the whole run may take; its status is then 124
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = RULES)]
    deadline: Option<Duration>,

    /// Stop once N jobs are not ok: --halt soon,fail=N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = RULES)]
    max_fail: Option<u64>,

    /// Stop once so many jobs have ended so: now or soon, then fail, success or done, then a
    /// number or a percentage; as in soon,fail=3 or now,success=1
    #[arg(long, value_name = "WHEN,WHAT=N", value_parser = halt, help_heading = RULES)]
    halt: Option<Halt>,

    /// How many jobs a worker is sent at a time: auto, or a number [default: auto]
    ///
    /// auto is 1 at first, and grows for short jobs to about a millisecond's work.
    #[arg(long, value_name = "N", value_parser = depth, help_heading = WORKERS)]
    depth: Option<Depth>,

    /// How long a worker may take to speak the protocol [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = WORKERS)]
    start_timeout: Option<Duration>,

    /// Replace a worker by a fresh one after so many jobs
    #[arg(long, value_name = "N", help_heading = WORKERS)]
    recycle_jobs: Option<NonZeroU32>,

    /// Replace a worker by a fresh one once its resident memory is so large
    #[arg(long, value_name = "SIZE", value_parser = parse_size, help_heading = WORKERS)]
    recycle_rss: Option<u64>,

    /// Replace a worker by a fresh one once it is so old
    #[arg(long, value_name = "TIME", value_parser = some_time, help_heading = WORKERS)]
    recycle_age: Option<Duration>,

    /// The longest message to or from a worker [default: 64M]
    #[arg(long, value_name = "SIZE", value_parser = frame_bytes, help_heading = WORKERS)]
    max_frame: Option<usize>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ProgressArgument {
    Auto,
    Bar,
    Plain,
    None,
}

impl Arguments {
    /// What is to be done with jobs, if any were given; `arguments` are those on the command
    /// line.
    ///
    /// # Errors
    /// What is said to whoever typed them.
    pub(super) fn to_jobs(&self, arguments: Option<Vec<OsString>>) -> Result<Option<Jobs>, String> {
        let Some(source) = self.source(arguments)? else {
            return match self.about_jobs() {
                Some((flag, instead)) => Err(format!(
                    "{flag} is about jobs, and this run has none: {instead}; \
                     to give it jobs: -a FILE, --follow FILE, or ::: JOB…"
                )),
                None => Ok(None),
            };
        };
        if self.null && matches!(source, JobSource::Arguments(_)) {
            return Err("-0 has no meaning with :::, where each argument is a job".into());
        }
        let all = RetryOn { error: true, panic: true, timeout: true };
        let max_fail = self.max_fail.map(|count| Halt {
            now: false,
            when: HaltWhen::Fail,
            count: HaltCount::Number(count),
        });
        if max_fail.is_some() && self.halt.is_some() {
            return Err("--max-fail is short for a --halt: give one of them".into());
        }
        Ok(Some(Jobs {
            source,
            separator: if self.null { Separator::Nul } else { Separator::Newline },
            keep_order: self.keep_order,
            progress: self.progress(),
            frame_bytes_max: self.max_frame.unwrap_or(FRAME_BYTES_MAX),
            commands: None,
            reports: Vec::new(),
            rules: JobRules {
                retries: self.retries.unwrap_or(0),
                retry_delay: self.retry_delay.unwrap_or(RETRY_DELAY),
                retry_on: self.retry_on.unwrap_or(all),
                crash_retries: self.crash_retries.unwrap_or(1),
                timeout: self.timeout,
                deadline: self.deadline,
                depth: self.depth.unwrap_or(Depth::Auto),
                delay: Duration::ZERO,
                halt: max_fail.or(self.halt),
                start_timeout: self.start_timeout.unwrap_or(START_TIMEOUT),
                recycle: Recycle {
                    jobs: self.recycle_jobs.map(|jobs| u64::from(jobs.get())),
                    resident_bytes: self.recycle_rss,
                    age: self.recycle_age,
                },
            },
        }))
    }

    fn progress(&self) -> Progress {
        match self.progress {
            _ if self.bar => Progress::Bar,
            Some(ProgressArgument::Bar) => Progress::Bar,
            Some(ProgressArgument::Plain) => Progress::Plain,
            Some(ProgressArgument::None) => Progress::None,
            None | Some(ProgressArgument::Auto) if io::stderr().is_terminal() => Progress::Bar,
            None | Some(ProgressArgument::Auto) => Progress::None,
        }
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
    fn about_jobs(&self) -> Option<(&'static str, &'static str)> {
        const RESTART: &str = "to start a worker again when it fails, use --restart on-failure";
        const BOUND: &str = "to bound the whole run, use `timeout 30s supervisor run …`";
        const LINES: &str = "lines come as the workers write them";
        const ENDS: &str = "a worker's end never stops the others";
        const ENDS_SHOWN: &str = "USR1 prints how its workers stand";
        const COPIES: &str = "it runs --workers copies of the program as it stands";
        const ROLL: &str = "to replace its workers, use --restart always and send it a HUP";
        let flags = [
            (self.null, "-0", COPIES),
            (self.keep_order, "--keep-order", LINES),
            (self.bar, "--bar", ENDS_SHOWN),
            (self.progress.is_some(), "--progress", ENDS_SHOWN),
            (self.tag, "--tag", "each line has its worker's number in front"),
            (self.retries.is_some(), "--retries", RESTART),
            (self.retry_delay.is_some(), "--retry-delay", RESTART),
            (self.retry_on.is_some(), "--retry-on", RESTART),
            (self.crash_retries.is_some(), "--crash-retries", RESTART),
            (self.timeout.is_some(), "--timeout", BOUND),
            (self.deadline.is_some(), "--deadline", BOUND),
            (self.max_fail.is_some(), "--max-fail", ENDS),
            (self.halt.is_some(), "--halt", ENDS),
            (self.depth.is_some(), "--depth", "its workers have no queue"),
            (self.start_timeout.is_some(), "--start-timeout", "nothing is expected of its workers"),
            (self.recycle_jobs.is_some(), "--recycle-jobs", ROLL),
            (self.recycle_rss.is_some(), "--recycle-rss", ROLL),
            (self.recycle_age.is_some(), "--recycle-age", ROLL),
            (self.max_frame.is_some(), "--max-frame", "its workers are sent nothing"),
        ];
        let given = flags.into_iter().find(|(given, ..)| *given);
        given.map(|(_, flag, instead)| (flag, instead))
    }
}

fn some_time(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing is done in no time; write 30s, say".into()),
        Ok(time) => Ok(time),
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

fn halt(text: &str) -> Result<Halt, String> {
    let read = || {
        let (when, rest) = text.split_once(',')?;
        let (what, count) = rest.split_once('=')?;
        let now = match when {
            "now" => true,
            "soon" => false,
            _ => return None,
        };
        let when = match what {
            "fail" => HaltWhen::Fail,
            "success" => HaltWhen::Success,
            "done" => HaltWhen::Done,
            _ => return None,
        };
        let count = match count.strip_suffix('%') {
            Some(percent) => {
                HaltCount::Percent(percent.parse().ok().filter(|p| (1..=100).contains(p))?)
            }
            None => HaltCount::Number(count.parse().ok().filter(|number| *number > 0)?),
        };
        Some(Halt { now, when, count })
    };
    read().ok_or_else(|| {
        "write now or soon, a comma, fail, success or done, and =N or =N%: soon,fail=3".into()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halts_are_read_as_gnu_parallel_writes_them() {
        let read = |now, when, count| Ok(Halt { now, when, count });
        for (text, expected) in [
            ("soon,fail=3", read(false, HaltWhen::Fail, HaltCount::Number(3))),
            ("now,success=1", read(true, HaltWhen::Success, HaltCount::Number(1))),
            ("now,done=20%", read(true, HaltWhen::Done, HaltCount::Percent(20))),
        ] {
            assert_eq!(halt(text), expected);
        }
        for text in ["", "soon", "soon,fail", "soon,fail=0", "later,fail=1", "now,fail=101%"] {
            assert!(halt(text).is_err(), "{text}");
        }
    }
}
