//! The options of `supervisor each` about the output of commands.

use std::path::PathBuf;

use supervisor::settings::{Capture, Report};

use super::super::refusal::Faults;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum OutputArgument {
    Grouped,
    Lines,
    Raw,
    None,
    Files(PathBuf),
}

/// Creates the directory of `--output files:DIR` and makes its path absolute, since commands may
/// start in another directory.
pub(super) fn with_directory(capture: Capture) -> Result<Capture, Faults> {
    let Capture::Files(directory) = capture else { return Ok(capture) };
    let created = files::create_directory(&directory);
    created.map(|created| Capture::Files(created.path().to_owned())).map_err(|error| {
        format!("--output files:{}: {error}: name another", directory.display()).into()
    })
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
