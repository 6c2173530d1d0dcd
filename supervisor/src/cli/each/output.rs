//! The options of `supervisor each` about the output of commands.

use std::path::PathBuf;

use supervisor::settings::{Capture, Report, Settings};

use super::super::refusal::Faults;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum OutputArgument {
    Grouped,
    Lines,
    Raw,
    None,
    Files(PathBuf),
}

/// Creates the directory of `--output files:DIR`. Unless the run continues a journal, in which jobs
/// keep their numbers, it must not hold the output of another run.
///
/// # Errors
/// The directory cannot be used.
pub(in crate::cli) fn create_directory(settings: &Settings) -> Result<(), Faults> {
    let Some(jobs) = &settings.jobs else { return Ok(()) };
    let Some(Capture::Files(directory)) = jobs.commands.as_ref().map(|commands| &commands.capture)
    else {
        return Ok(());
    };
    let option = format!("--output files:{}", directory.display());
    let names = files::create_directory(directory).and_then(|directory| directory.names());
    let names = names.map_err(|error| format!("{option}: {error}: name another"))?;
    let mut old = names.into_iter().filter(|name| is_output(&name.to_string_lossy()));
    match old.next().filter(|_| jobs.journal.is_none()) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{option}: it holds output of another run, such as {}: name another directory, or empty \
             this one",
            name.display()
        )
        .into()),
    }
}

/// Whether a file has a name such as `17.stdout` or `17.1.stderr`.
fn is_output(name: &str) -> bool {
    let number = name.strip_suffix(".stdout").or_else(|| name.strip_suffix(".stderr"));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    number.is_some_and(|number| number.split('.').count() <= 2 && number.split('.').all(is_number))
}

pub(super) fn output_form(text: &str) -> Result<OutputArgument, String> {
    Ok(match text {
        "grouped" => OutputArgument::Grouped,
        "lines" => OutputArgument::Lines,
        "raw" => OutputArgument::Raw,
        "none" => OutputArgument::None,
        _ => match text.strip_prefix("files:").filter(|directory| !directory.is_empty()) {
            Some(directory) => OutputArgument::Files(directory.into()),
            None => return Err("write grouped, lines, raw, none, or files:DIR".into()),
        },
    })
}

pub(super) fn report_form(text: &str) -> Result<Report, String> {
    match text.split_once(':') {
        Some(("junit", file)) if !file.is_empty() => Ok(Report::Junit(file.into())),
        Some(("jsonl", file)) if !file.is_empty() => Ok(Report::Jsonl(file.into())),
        _ => Err("write junit:FILE or jsonl:FILE".into()),
    }
}
