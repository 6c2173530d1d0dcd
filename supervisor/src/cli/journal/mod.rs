//! `supervisor journal`: shows and checks what a journal has recorded of a run, whether that run
//! has ended, has crashed or is still in progress.

mod retry;
mod text;

use std::{
    ffi::OsString,
    io::{self, BufWriter, ErrorKind, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use clap::{Args, Subcommand, ValueEnum};
use journal::{Account, Error, Reader, Run, State};
use pool::{
    job::{JobEnd, Outcome},
    limits::Limits,
    signal::Signal,
};
use process::signals::die_by;
use supervisor::{
    run::status,
    sink::reports::Export,
    template::{INPUT_SEPARATOR, Reading, Template},
};

use self::text::Counts;
use super::{journaling::VERB, print, refusal::Faults};

/// Inspect a journal: which jobs there were, how each ended, and why.
///
/// The file may be read while it is being written; what is shown is as of one moment. It is an
/// SQLite file whose tables explain themselves: sqlite3 FILE .schema
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// List jobs: by default those that are neither done nor waiting
    Ls(List),
    /// Show everything recorded about jobs, or about the runs
    Show(Show),
    /// Check every row against its checksum, and the structure of the file
    Verify {
        /// The journal
        file: PathBuf,
    },
    /// Write all jobs in a format that other programs read
    Export {
        /// One JSON record per line, as with --format jsonl; or GNU parallel's joblog
        #[arg(value_enum)]
        form: Form,
        /// The journal
        file: PathBuf,
    },
    /// Run one job once more, alone and at once, with its settings, and record the outcome
    Retry(retry::Arguments),
}

#[derive(Debug, Args)]
struct List {
    /// The journal
    file: PathBuf,

    /// Only jobs in this state
    #[arg(long, value_name = "STATE", value_enum, conflicts_with = "all")]
    state: Option<StateArgument>,

    /// All jobs
    #[arg(long)]
    all: bool,

    /// What stdout carries: text, or one JSON record a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
}

#[derive(Debug, Args)]
struct Show {
    /// The journal
    file: PathBuf,

    /// Numbers of jobs, as `ls` shows them; without any, the runs
    #[arg(value_name = "JOB")]
    jobs: Vec<u64>,

    /// What stdout carries: text, or one JSON record a line
    #[arg(long, value_name = "FORMAT", value_enum, default_value = "text")]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    Jsonl,
    Joblog,
}

#[derive(Clone, Copy, PartialEq, Debug, ValueEnum)]
enum Format {
    Text,
    Jsonl,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StateArgument {
    Ok,
    Failed,
    #[value(alias = "crashed")]
    Quarantined,
    Running,
    Lost,
    Interrupted,
    Waiting,
}

/// Why a verb failed.
enum Problem {
    Journal(Error),
    Output(io::Error),
    Usage(Faults),
    /// The journal is damaged; the damage has been printed.
    Damage,
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Journal(error)
    }
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

/// Runs the verb and returns the exit status.
pub(super) fn main(arguments: &Arguments) -> ExitCode {
    let out = || BufWriter::with_capacity(64 << 10, io::stdout().lock());
    let done = match &arguments.verb {
        Verb::Retry(arguments) => retry::main(arguments),
        verb => show_verb(verb, &mut out()).map(|()| ExitCode::SUCCESS),
    };
    done.unwrap_or_else(Problem::exit)
}

fn show_verb(verb: &Verb, out: &mut impl Write) -> Result<(), Problem> {
    match verb {
        Verb::Ls(arguments) => list(arguments, out),
        Verb::Show(arguments) => show(arguments, out),
        Verb::Verify { file } => verify(file, out),
        Verb::Export { form, file } => export(*form, file, out),
        Verb::Retry(_) => Ok(()),
    }?;
    Ok(out.flush()?)
}

impl Problem {
    fn exit(self) -> ExitCode {
        match self {
            Self::Output(error) if error.kind() == ErrorKind::BrokenPipe => die_by(Signal::PIPE),
            Self::Output(error) => print::unwritable(&error),
            Self::Journal(error) => {
                print::message(&error.to_string());
                status::OUTPUT_FAILED.into()
            }
            Self::Usage(faults) => faults.exit(),
            Self::Damage => status::OUTPUT_FAILED.into(),
        }
    }
}

/// An open journal with the runs it has recorded.
struct Journal {
    reader: Reader,
    runs: Vec<Run>,
}

impl Journal {
    fn open(file: &Path) -> Result<(Self, Counts), Error> {
        let reader = Reader::open(file)?;
        let (runs, recorded) = reader.read()?;
        let journal = Self { reader, runs };
        let mut counts = Counts::default();
        for state in &recorded.states {
            counts.add(journal.name(*state));
        }
        Ok((journal, counts))
    }

    /// Returns the state as users see it. A job that was running when its supervisor died is lost;
    /// one that was begun and has no outcome at the end of the run was interrupted.
    fn name(&self, state: State) -> StateArgument {
        match state {
            State::Unfinished if !self.reader.is_live() => StateArgument::Interrupted,
            State::Waiting | State::Unfinished => StateArgument::Waiting,
            State::Running if self.reader.is_live() => StateArgument::Running,
            State::Running => StateArgument::Lost,
            State::Ok => StateArgument::Ok,
            State::Failed => StateArgument::Failed,
            State::Crashed => StateArgument::Quarantined,
        }
    }

    /// Returns the time from the start of the first run to that of this one.
    fn offset(&self, run: u64) -> Duration {
        let started = |run: Option<&Run>| run.map_or(Duration::ZERO, |run| run.started);
        let index = usize::try_from(run).ok().and_then(|run| run.checked_sub(1));
        let run = index.and_then(|index| self.runs.get(index));
        started(run).saturating_sub(started(self.runs.first()))
    }

    /// Returns the outcome of a job, or [`JobEnd::Interrupted`] or [`JobEnd::NotRun`] if it has none;
    /// times count from the first run.
    fn outcome(&self, mut account: Account) -> Outcome {
        for tried in &mut account.attempts {
            tried.attempt.began += self.offset(tried.run);
        }
        let is_begun = !account.attempts.is_empty();
        account.into_outcome_or(if is_begun { JobEnd::Interrupted } else { JobEnd::NotRun })
    }

    /// The command of the last run; `None` if its workers take jobs themselves.
    fn template(&self) -> Result<Option<Template>, Error> {
        let header = self.runs.last().map(|run| &run.header);
        let header = header.filter(|it| it.settings.get(VERB).is_some_and(|verb| verb == "each"));
        let Some((header, first)) = header.zip(self.reader.account(1)?) else { return Ok(None) };
        let words: Vec<OsString> = header.program.iter().map(OsString::from).collect();
        let has = |option| header.settings.contains_key(option);
        let separators = first.payload.as_bytes().iter().filter(|it| **it == INPUT_SEPARATOR);
        let reading = Reading {
            shell: has("--shell"),
            replace: header.settings.get("-I").map(String::as_str),
            inputs: separators.count() + 1,
            append: !has("--stdin"),
        };
        Ok(Template::read(&words, reading).ok())
    }

    fn limits(&self) -> Limits {
        self.runs.last().map(|run| run.header.limits.clone()).unwrap_or_default()
    }

    /// Writes what `format` produces for each job.
    fn each(
        &self,
        out: &mut impl Write,
        mut format: impl FnMut(Account, &mut Vec<u8>),
    ) -> Result<(), Problem> {
        let (mut bytes, mut written) = (Vec::new(), Ok(()));
        self.reader.accounts(|account| {
            bytes.clear();
            format(account, &mut bytes);
            written = out.write_all(&bytes);
            written.is_ok()
        })?;
        Ok(written?)
    }
}

fn list(arguments: &List, out: &mut impl Write) -> Result<(), Problem> {
    let (journal, counts) = Journal::open(&arguments.file)?;
    let is_wanted = |state: StateArgument| match arguments.state {
        Some(wanted) => wanted as u8 == state as u8,
        None => arguments.all || !matches!(state, StateArgument::Ok | StateArgument::Waiting),
    };
    if arguments.format == Format::Jsonl {
        let mut form = Export::jsonl(journal.limits());
        return journal.each(out, |account, bytes| {
            if is_wanted(journal.name(account.state())) {
                form.outcome(&journal.outcome(account), bytes);
            }
        });
    }
    let is_live = journal.reader.is_live();
    text::summary(&arguments.file, &journal.runs, &counts, is_live, out)?;
    let layout = text::layout(print::width());
    let mut head = Some(layout.head());
    journal.each(out, |account, bytes| {
        let state = journal.name(account.state());
        if is_wanted(state) {
            bytes.extend(head.take().unwrap_or_default().into_bytes());
            bytes.extend(text::line(state, &account, &layout).into_bytes());
        }
    })
}

fn show(arguments: &Show, out: &mut impl Write) -> Result<(), Problem> {
    let (journal, counts) = Journal::open(&arguments.file)?;
    if arguments.jobs.is_empty() {
        if arguments.format == Format::Jsonl {
            return Ok(text::runs_jsonl(&journal.runs, out)?);
        }
        let is_live = journal.reader.is_live();
        text::summary(&arguments.file, &journal.runs, &counts, is_live, out)?;
        return Ok(text::runs(&journal.runs, is_live, out)?);
    }
    let mut form = Export::jsonl(journal.limits());
    for job in &arguments.jobs {
        let Some(account) = journal.reader.account(*job)? else {
            let last = counts.all();
            let text = format!("there is no job {job} in this journal: they are 1 to {last}");
            return Err(Problem::Usage(text.into()));
        };
        let mut bytes = Vec::new();
        match arguments.format {
            Format::Jsonl => form.outcome(&journal.outcome(account), &mut bytes),
            Format::Text => text::account(
                journal.name(account.state()),
                &account,
                &journal.limits(),
                &mut bytes,
            ),
        }
        out.write_all(&bytes)?;
    }
    Ok(())
}

fn verify(file: &Path, out: &mut impl Write) -> Result<(), Problem> {
    let found = Reader::open(file)?.verify()?;
    for damage in &found {
        writeln!(out, "{damage}")?;
    }
    if !found.is_empty() {
        return Err(Problem::Damage);
    }
    let (journal, counts) = Journal::open(file)?;
    text::summary(file, &journal.runs, &counts, journal.reader.is_live(), out)?;
    Ok(writeln!(out, "every row is as it was written")?)
}

fn export(form: Form, file: &Path, out: &mut impl Write) -> Result<(), Problem> {
    let (journal, _) = Journal::open(file)?;
    let mut form = match form {
        Form::Jsonl => Export::jsonl(journal.limits()),
        Form::Joblog => {
            let began = journal.runs.first().map(|run| run.started).unwrap_or_default();
            Export::joblog(journal.template()?, began)
        }
    };
    let mut head = Vec::new();
    form.begin(&mut head);
    out.write_all(&head)?;
    journal.each(out, |account, bytes| form.outcome(&journal.outcome(account), bytes))
}
