//! `supervisor journal retry`: runs one job of a journal again, alone and at once.

use std::{
    env,
    ffi::OsString,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Args, Parser};
use journal::{Account, Reader, Run, State, resume::DIRECTORY};
use process::spawn::lookup;
use supervisor::settings::{
    Identity, JobSource, Journal, OnLost, Progress, Settings, Sync, Workers,
};
use text::escape::visible;

use super::{
    super::{journaling, refusal::Faults},
    Problem,
};
use crate::cli::{self, Verb, exit, program};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The journal
    file: PathBuf,
    /// The job's number
    job: u64,
}

/// Runs the job and returns the exit status of that run.
pub(super) fn main(arguments: &Arguments) -> Result<ExitCode, Problem> {
    let Arguments { file, job } = arguments;
    let reader = Reader::open(file)?;
    let (runs, recorded) = reader.read()?;
    let Some(account) = reader.account(*job)? else {
        let last = recorded.states.len();
        let text = format!("there is no job {job} in this journal: they are 1 to {last}");
        return Err(Problem::Usage(text.into()));
    };
    if account.state() == State::Ok {
        let text = format!("job {job} is done: there is nothing to be tried again");
        return Err(Problem::Usage(text.into()));
    }
    let Some(run) = runs.last() else {
        return Err(Problem::Usage("nothing was run yet".into()));
    };
    // The read transaction of the reader would block checkpoints of the run.
    drop(reader);
    let file =
        std::path::absolute(file).map_err(|error| Problem::Usage(error.to_string().into()))?;
    enter_directory(run).map_err(Problem::Usage)?;
    let settings = settings(&file, run, &account).map_err(Problem::Usage)?;
    // A program that is not there would be recorded as a failure of the job.
    if !settings.program.argv.is_empty()
        && let Err(fault) = lookup::check(&settings.program)
    {
        return Ok(exit::cannot_start(fault, &settings.program));
    }
    Ok(program::run(&settings))
}

/// Changes to the directory in which the run was started: relative names in the command and the job
/// have their meaning there.
fn enter_directory(run: &Run) -> Result<(), Faults> {
    let Some(directory) = run.header.settings.get(DIRECTORY) else { return Ok(()) };
    env::set_current_dir(directory).map_err(|error| {
        let directory = visible(directory.as_bytes());
        format!("the job was run in {directory}, which cannot be entered: {error}").into()
    })
}

/// Returns the settings of the run that recorded the job, reduced to this job and one attempt.
fn settings(file: &Path, run: &Run, account: &Account) -> Result<Settings, Faults> {
    let header = &run.header;
    if header.program.iter().any(|word| word.contains(char::REPLACEMENT_CHARACTER)) {
        return Err("the program's words are no text, and were not kept: run it by hand".into());
    }
    let verb = header.settings.get(journaling::VERB).map_or("run", String::as_str);
    let mut words = vec!["supervisor".to_owned(), verb.into()];
    words.extend(journaling::typed(&header.settings));
    words.push("--".into());
    words.extend(header.program.iter().cloned());
    let parsed = cli::Arguments::try_parse_from(words).map_err(|error| error.to_string())?;
    let payload = account.payload.as_bytes();
    let mut settings = match parsed.verb {
        Verb::Run(arguments) => arguments.into_settings(Some(vec![word(payload)]))?,
        Verb::Each(arguments) => {
            let inputs = payload.split(|byte| *byte == supervisor::template::INPUT_SEPARATOR);
            let lists = inputs.map(|input| vec![vec![word(input)]]).collect();
            arguments.into_settings(Ok(JobSource::Product(lists)))?
        }
        _ => {
            let text = format!("`supervisor {verb}` runs no jobs: use the one that wrote it");
            return Err(text.into());
        }
    };
    let Some(jobs) = &mut settings.jobs else { return Err("it has no jobs".into()) };
    if Identity::new(jobs.commands.as_ref()).of(&account.payload) != account.digest {
        let text = format!("job {} was too long to be kept: run it by hand", account.job);
        return Err(text.into());
    }
    (jobs.rules.retries, jobs.rules.crash_retries) = (0, 0);
    jobs.progress = Progress::None;
    jobs.journal = Some(Journal {
        file: file.into(),
        sync: Sync::Batch,
        retry_failed: true,
        on_lost: OnLost::Rerun,
        accepts_change: true,
        only: Some(account.job),
        program: header.program.clone(),
        set: header.settings.clone(),
    });
    Ok(Settings { workers: Workers::ONE, ..settings })
}

fn word(bytes: &[u8]) -> OsString {
    OsString::from_vec(bytes.to_vec())
}
