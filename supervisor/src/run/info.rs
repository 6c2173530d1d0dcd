//! The facts about a run that it publishes: its id, its title and the like.

use std::{borrow::Cow, os::unix::process::parent_id, time::SystemTime};

use super::RunError;
use crate::{
    settings::Settings,
    template::{Filling, Template},
};
use records::{Millis, RunInfo};

/// The facts about the run that these settings describe.
///
/// # Errors
/// The kernel has no random numbers.
pub(super) fn run_info(settings: &Settings) -> Result<RunInfo, RunError> {
    let jobs = settings.jobs.as_ref();
    let title = match jobs.and_then(|jobs| jobs.commands.as_ref()) {
        Some(commands) => command_line(&commands.template),
        None => {
            let words = settings.program.argv.iter().map(|word| word.to_string_lossy());
            words.collect::<Vec<_>>().join(" ")
        }
    };
    Ok(RunInfo {
        id: random_id()?,
        name: settings.name.clone(),
        // The process that the user started is the warden, our parent.
        pid: parent_id(),
        version: Cow::Borrowed(env!("CARGO_PKG_VERSION")),
        title,
        began_unix_ms: Millis::since_epoch(SystemTime::now()),
        workers: settings.workers.get(),
        has_jobs: jobs.is_some(),
        total: jobs.and_then(|jobs| jobs.source.count()),
    })
}

/// Four random letters and digits, without those that look alike.
pub(super) fn random_id() -> Result<String, RunError> {
    const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";
    let mut random = [0; 4];
    getrandom::fill(&mut random)
        .map_err(|error| RunError::Refused { what: "read random numbers", reason: error.into() })?;
    Ok(random.map(|byte| char::from(LETTERS[usize::from(byte) % LETTERS.len()])).iter().collect())
}

/// A command as the user typed it, except for quotes.
fn command_line(template: &Template) -> String {
    let mut line = Vec::new();
    template.show(Filling { payload: b"{}", number: 0, slot: 0 }, &mut line);
    String::from_utf8_lossy(&line).replace("'{}'", "{}")
}
