//! The arguments about the journal of a run.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
#[cfg(feature = "journal")]
use journal::resume::DIRECTORY;
use pool::{
    limits::{Limits, Resource, UNLIMITED},
    rules::Repeats,
};
use supervisor::settings::Journal;
#[cfg(feature = "journal")]
use supervisor::settings::{OnLost, Sync};

use super::{program, rules};

const JOURNAL: &str = "Journal";
/// Key under which the settings of a run record the verb.
pub(super) const VERB: &str = "supervisor";
const AT_MOST_ONCE: &str = "--at-most-once";

#[derive(Debug, Args)]
#[group(skip)]
pub(super) struct Arguments {
    /// Record in FILE what becomes of each job. If FILE holds an earlier run, continue it: jobs
    /// that are done are not run again
    ///
    /// A job is known by what it is (its text; in `each` its command and what that reads), so
    /// lines may be added, taken out and moved. See also: supervisor journal --help
    #[arg(long, value_name = "FILE", help_heading = JOURNAL)]
    journal: Option<PathBuf>,

    /// When to sync the journal to disk: always, before the end of a job is reported; batch, the
    /// same, but several jobs share a sync; off, never, which survives a crash of the supervisor,
    /// not a power loss [default: batch]
    #[arg(long, value_name = "WHEN", value_enum, requires = "journal", help_heading = JOURNAL)]
    sync: Option<SyncArgument>,

    /// Run again what failed in the run before
    #[arg(long, requires = "journal", help_heading = JOURNAL)]
    retry_failed: bool,

    /// What becomes of jobs that may have been running when the supervisor died, or that the end of
    /// the run interrupted: rerun; or fail, for jobs that a later run must not begin again, in which
    /// case no job begins before its start is recorded [default: rerun]
    #[arg(long, value_name = "WHAT", value_enum, requires = "journal", help_heading = JOURNAL)]
    on_lost: Option<OnLostArgument>,

    /// Continue even if the program, its file or a setting has changed
    #[arg(long, requires = "journal", help_heading = JOURNAL)]
    accept_change: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SyncArgument {
    Always,
    Batch,
    Off,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum OnLostArgument {
    Rerun,
    Fail,
}

impl Arguments {
    /// Converts the arguments; `None` without `--journal`. `program` and `set` identify the run
    /// when it is continued.
    #[cfg(feature = "journal")]
    pub(super) fn journal(
        &self,
        program: &[OsString],
        mut set: Set,
    ) -> Result<Option<Journal>, &'static str> {
        let is_once = set.0.contains_key(AT_MOST_ONCE);
        let reruns = matches!(self.on_lost, Some(OnLostArgument::Rerun));
        if is_once && (reruns || self.retry_failed) {
            return Err("--at-most-once begins no job twice: leave out --retry-failed and \
                        --on-lost rerun");
        }
        let directory = std::env::current_dir().ok();
        set.put(DIRECTORY, directory.as_ref().map(|directory| directory.to_string_lossy()));
        Ok(self.journal.clone().map(|file| Journal {
            file,
            sync: match self.sync {
                None | Some(SyncArgument::Batch) => Sync::Batch,
                Some(SyncArgument::Always) => Sync::Always,
                Some(SyncArgument::Off) => Sync::Off,
            },
            retry_failed: self.retry_failed,
            on_lost: match self.on_lost {
                None if is_once => OnLost::Fail,
                None | Some(OnLostArgument::Rerun) => OnLost::Rerun,
                Some(OnLostArgument::Fail) => OnLost::Fail,
            },
            accepts_change: self.accept_change,
            only: None,
            program: program.iter().map(|word| word.to_string_lossy().into_owned()).collect(),
            set: set.0,
        }))
    }

    /// Refuses a journal: this build has none.
    #[cfg(not(feature = "journal"))]
    pub(super) fn journal(&self, _: &[OsString], _: Set) -> Result<Option<Journal>, &'static str> {
        match self.journal {
            Some(_) => Err("this build keeps no journals: build it with the feature `journal`"),
            None => Ok(None),
        }
    }
}

/// The options that decide how jobs end, by name: `--timeout` is `30s`, `--env A` is `1`. They are
/// enough to type the same command again.
#[derive(Debug)]
pub(super) struct Set(BTreeMap<String, String>);

impl Set {
    /// Collects the options that all verbs with jobs share.
    pub(super) fn new(verb: &str, program: &program::Arguments, rules: &rules::Arguments) -> Self {
        let mut set = Self(BTreeMap::new());
        set.put(VERB, Some(verb));
        set.put("--memory", program.memory.map(size));
        for (resource, value) in Limits::gather(&program.limit, None).iter() {
            set.put(&format!("--limit {}", resource.name()), Some(limit(resource, value)));
        }
        for pair in &program.env {
            let pair = pair.to_string_lossy();
            let (name, value) = pair.split_once('=').unwrap_or((&pair, ""));
            set.put(&format!("--env {name}"), Some(value));
        }
        set.flag("--env-clear", program.env_clear);
        set.put("--cwd", program.cwd.as_ref().map(|directory| directory.to_string_lossy()));
        set.put("--retries", rules.retries.map(|retries| retries.to_string()));
        set.put("--timeout", rules.timeout.map(time));
        set.flag(AT_MOST_ONCE, rules.at_most_once);
        set
    }

    /// Adds an option with its value, if it was given.
    pub(super) fn put(&mut self, flag: &str, value: Option<impl Into<String>>) {
        if let Some(value) = value {
            self.0.insert(flag.into(), value.into());
        }
    }

    /// Adds an option without a value, if it was given.
    pub(super) fn flag(&mut self, flag: &str, is_given: bool) {
        self.put(flag, is_given.then_some(""));
    }
}

/// Returns whether a job that was begun and did not end may be run again.
#[cfg(feature = "journal")]
pub(super) fn repeats(at_most_once: bool, journal: Option<&Journal>) -> Repeats {
    match journal.map(|journal| journal.on_lost) {
        _ if at_most_once => Repeats::Never,
        Some(OnLost::Fail) => Repeats::ThisRunOnly,
        Some(OnLost::Rerun) | None => Repeats::Allowed,
    }
}

/// Returns whether a job that was begun and did not end may be run again.
#[cfg(not(feature = "journal"))]
pub(super) fn repeats(at_most_once: bool, _: Option<&Journal>) -> Repeats {
    if at_most_once { Repeats::Never } else { Repeats::Allowed }
}

/// Returns the arguments that give these options again.
#[cfg(feature = "journal")]
pub(super) fn typed(set: &BTreeMap<String, String>) -> Vec<String> {
    let mut words = Vec::new();
    for (flag, value) in set.iter().filter(|(flag, _)| ![VERB, DIRECTORY].contains(&&***flag)) {
        match flag.split_once(' ') {
            Some((flag, name)) => words.extend([flag.into(), format!("{name}={value}")]),
            None if value.is_empty() => words.push(flag.clone()),
            None => words.push(format!("{flag}={value}")),
        }
    }
    words
}

/// Formats a duration so that it parses to exactly the same value.
pub(super) fn time(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    match (nanos % 1_000_000_000, nanos % 1_000_000) {
        (0, _) => format!("{}s", duration.as_secs()),
        (_, 0) => format!("{}ms", duration.as_millis()),
        _ => format!("{}s", duration.as_secs_f64()),
    }
}

/// Formats a size so that it parses to exactly the same value.
pub(super) fn size(bytes: u64) -> String {
    let units = [(1u64 << 40, "T"), (1 << 30, "G"), (1 << 20, "M"), (1 << 10, "K")];
    let unit = units.iter().find(|(unit, _)| bytes >= *unit && bytes.is_multiple_of(*unit));
    unit.map_or_else(|| bytes.to_string(), |(unit, name)| format!("{}{name}", bytes / unit))
}

fn limit(resource: Resource, value: u64) -> String {
    match resource {
        _ if value == UNLIMITED => "unlimited".into(),
        Resource::Cpu => format!("{value}s"),
        Resource::OpenFiles | Resource::Processes => value.to_string(),
        _ => size(value),
    }
}

#[cfg(test)]
mod tests {
    use text::units::{parse_duration, parse_size};

    use super::*;

    #[test]
    fn formatted_values_parse_to_the_same_value() {
        for nanos in [0, 1, 1_000, 1_500_000, 30_000_000_000, 90_061_000_000_000, 123_456_789] {
            let duration = Duration::from_nanos(nanos);
            assert_eq!(parse_duration(&time(duration)), Ok(duration), "{}", time(duration));
        }
        for bytes in [0, 1, 1023, 1 << 20, (1 << 20) + 1, 3 << 29, 5 << 40] {
            assert_eq!(parse_size(&size(bytes)), Ok(bytes), "{}", size(bytes));
        }
    }

    #[cfg(feature = "journal")]
    #[test]
    fn recorded_options_become_arguments_again() {
        let set = [
            ("--env A", "1 2"),
            ("--stdin", ""),
            ("--timeout", "30s"),
            (VERB, "each"),
            (DIRECTORY, "/x"),
        ];
        let set = set.map(|(flag, value)| (flag.to_owned(), value.to_owned())).into();
        assert_eq!(typed(&set), ["--env", "A=1 2", "--stdin", "--timeout=30s"]);
    }
}
