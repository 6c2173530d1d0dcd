//! What is said to arguments that mean nothing here?

use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use super::report;

/// Flags that are about jobs. Whoever types one has something in mind that a run without jobs
/// does not do: he is told what it does instead.
const ABOUT_JOBS: [(&str, &str); 15] = [
    ("--retries", "to start a worker again when it fails, use --restart on-failure"),
    ("--crash-retries", "to start a worker again when it fails, use --restart on-failure"),
    ("--timeout", "to bound the whole run, use `timeout 30s supervisor run …`"),
    ("--depth", "workers without jobs have no queue"),
    ("--joblog", "for a record of how each worker ended, use --format jsonl"),
    ("--keep-order", LINES),
    ("-k", LINES),
    ("--tag", "each line has its worker's number in front"),
    ("--jobs-from", COPIES),
    ("-a", COPIES),
    ("--follow", COPIES),
    ("-0", COPIES),
    ("--halt", "a worker's end never stops the others"),
    ("--max-fail", "a worker's end never stops the others"),
    ("--deadline", "to bound the whole run, use `timeout 30s supervisor run …`"),
];

const LINES: &str = "lines come as the workers write them";
const COPIES: &str = "it runs --workers copies of the program as it stands";

/// Prints help, or the refusal, and gives the exit status for it.
pub(super) fn exit(error: &clap::Error) -> ExitCode {
    if let Some(text) = about_jobs(error) {
        return report::usage(&text);
    }
    // A closed stdout is no news to somebody who asked for help.
    let _ = error.print();
    if error.use_stderr() { report::USAGE.into() } else { ExitCode::SUCCESS }
}

fn about_jobs(error: &clap::Error) -> Option<String> {
    let (ErrorKind::UnknownArgument, Some(ContextValue::String(flag))) =
        (error.kind(), error.get(ContextKind::InvalidArg))
    else {
        return None;
    };
    let (_, instead) = ABOUT_JOBS.iter().find(|(known, _)| known == flag)?;
    Some(format!("{flag} is about jobs, and this run has none: {instead}"))
}
