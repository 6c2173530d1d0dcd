//! The arguments about jobs that `run` and `each` share.

use std::{
    io::{self, IsTerminal},
    time::Duration,
};

use clap::{Args, ValueEnum};
use pool::rules::{Halt, HaltCount, HaltWhen};
use supervisor::settings::{Progress, Separator};
use text::units::parse_duration;

const RETRY_DELAY: Duration = Duration::from_millis(100);

pub(super) const SOURCES: &str = "Jobs";
pub(super) const RULES: &str = "What becomes of jobs";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Jobs end with a zero byte instead of a newline
    #[arg(short = '0', long, help_heading = SOURCES)]
    pub(super) null: bool,

    /// Write results in the order of the jobs
    #[arg(short, long, help_heading = SOURCES)]
    pub(super) keep_order: bool,

    /// Put the job and a tab in front of each line of its output
    #[arg(long, help_heading = SOURCES)]
    pub(super) tag: bool,

    /// How far the jobs have come, on stderr: bar for a line that stays in its place, plain for a
    /// line every ten seconds; auto is bar on a terminal [default: auto]
    #[arg(long, value_name = "HOW", value_enum, help_heading = SOURCES)]
    pub(super) progress: Option<ProgressArgument>,

    /// The same as --progress bar
    #[arg(long, conflicts_with = "progress", help_heading = SOURCES)]
    pub(super) bar: bool,

    /// Further attempts of a job that fails [default: 0]
    ///
    /// These are extra attempts: --retries 2 makes three at most. (GNU parallel counts the
    /// first.)
    #[arg(long, value_name = "N", help_heading = RULES)]
    pub(super) retries: Option<u32>,

    /// Delay before the first retry; doubles each time up to 30s, or TIME if that is longer, ±20 %
    /// jitter [default: 100ms]
    #[arg(long, value_name = "TIME", value_parser = parse_duration, help_heading = RULES)]
    pub(super) retry_delay: Option<Duration>,

    /// Begin no job twice: a job that was begun and did not end has failed, whatever the reason.
    /// With --journal, no later run begins it again either
    #[arg(long, help_heading = RULES)]
    pub(super) at_most_once: bool,

    /// How long an attempt may take
    #[arg(long, value_name = "TIME", value_parser = positive_duration, help_heading = RULES)]
    pub(super) timeout: Option<Duration>,

    /// How long the whole run may take; its status is then 124
    #[arg(long, value_name = "TIME", value_parser = positive_duration, help_heading = RULES)]
    pub(super) deadline: Option<Duration>,

    /// Stop once N jobs are not ok: --halt soon,fail=N
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = RULES)]
    pub(super) max_fail: Option<u64>,

    /// Stop the run early: now or soon, once N jobs have ended as fail, success or done; N is a
    /// number or a percentage, as in soon,fail=3 or now,success=1
    #[arg(long, value_name = "WHEN,WHAT=N", value_parser = halt, help_heading = RULES)]
    pub(super) halt: Option<Halt>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(super) enum ProgressArgument {
    Auto,
    Bar,
    Plain,
    None,
}

impl Arguments {
    pub(super) fn separator(&self) -> Separator {
        if self.null { Separator::Nul } else { Separator::Newline }
    }

    pub(super) fn retry_delay(&self) -> Duration {
        self.retry_delay.unwrap_or(RETRY_DELAY)
    }

    /// Returns the fault of options that would begin a job twice, if `--at-most-once` forbids that.
    pub(super) fn repeats_fault(&self, crash_retries: Option<u32>) -> Option<&'static str> {
        let repeats =
            self.retries.is_some_and(|it| it > 0) || crash_retries.is_some_and(|it| it > 0);
        (self.at_most_once && repeats).then_some(
            "--at-most-once begins no job twice: leave out --retries and --crash-retries",
        )
    }

    /// Returns the condition that stops the run early, if there is one.
    ///
    /// # Errors
    /// Both `--max-fail` and `--halt` were given.
    pub(super) fn halt(&self) -> Result<Option<Halt>, String> {
        let max_fail = self.max_fail.map(|count| Halt {
            now: false,
            when: HaltWhen::Fail,
            count: HaltCount::Number(count),
        });
        if max_fail.is_some() && self.halt.is_some() {
            return Err("--max-fail is short for a --halt: give one of them".into());
        }
        Ok(max_fail.or(self.halt))
    }

    pub(super) fn progress(&self) -> Progress {
        match self.progress {
            _ if self.bar => Progress::Bar,
            Some(ProgressArgument::Bar) => Progress::Bar,
            Some(ProgressArgument::Plain) => Progress::Plain,
            Some(ProgressArgument::None) => Progress::None,
            None | Some(ProgressArgument::Auto) if io::stderr().is_terminal() => Progress::Bar,
            None | Some(ProgressArgument::Auto) => Progress::None,
        }
    }
}

/// Parses a duration that is not zero.
pub(super) fn positive_duration(text: &str) -> Result<Duration, String> {
    match parse_duration(text) {
        Ok(Duration::ZERO) => Err("nothing is done in no time; write 30s, say".into()),
        Ok(time) => Ok(time),
        Err(error) => Err(error.to_string()),
    }
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
    fn a_halt_has_the_syntax_of_gnu_parallel() {
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
