//! May a run be recorded in this journal? Only one that nobody else writes to, that is as it was
//! written, and that was kept of the same run.

use std::{fmt::Write as _, fs::File, time::Duration};

use super::{
    super::status::{OUR_FAILURE, OUTPUT_FAILED, USAGE},
    Recording,
};
use crate::{
    settings::{self, Jobs, OnLost, Settings},
    sink::Archive,
};
use journal::{
    Header, Opened, Reader,
    identity::Digest,
    resume::{self, Resume},
};
use pool::job::Outcome;
use process::spawn::lookup;

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The journal.
    #[error(transparent)]
    Journal(#[from] journal::Error),
    /// It is of another run.
    #[error(transparent)]
    Changed(#[from] resume::Changed),
    /// No thread to be had.
    #[error("cannot start the thread that writes the journal: {0}")]
    Thread(#[source] std::io::Error),
}

impl RecordError {
    /// The exit status of who is refused so.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        match self {
            Self::Changed(_) => USAGE,
            Self::Journal(_) => OUTPUT_FAILED,
            Self::Thread(_) => OUR_FAILURE,
        }
    }
}

/// A journal that a run may begin in, or go on in.
#[derive(Debug)]
pub(in super::super) struct Opening {
    opened: Opened,
    header: Header,
    /// What changed since the run before, and is accepted.
    accepted: Vec<resume::Difference>,
    rules: settings::Journal,
}

impl Opening {
    /// Opens the journal of these settings, if they have one.
    ///
    /// # Errors
    /// It cannot be written to, or is of another run.
    pub(in super::super) fn open(settings: &Settings) -> Result<Option<Self>, RecordError> {
        let Some(jobs) = &settings.jobs else { return Ok(None) };
        let Some(rules) = jobs.journal.clone() else { return Ok(None) };
        let header = Header {
            program: rules.program.clone(),
            digest: digest(settings),
            settings: rules.set.clone(),
            limits: settings.program.limits.clone(),
        };
        let opened = Opened::new(&rules.file, rules.sync)?;
        let before = opened.runs().last().map(|run| &run.header);
        let compare = |before| resume::compare(before, &header, rules.accepts_change);
        let accepted = before.map(compare).transpose()?.unwrap_or_default();
        Ok(Some(Self { opened, header, accepted, rules }))
    }

    /// Records that the run begins, and what is said of that.
    ///
    /// # Errors
    /// See [`RecordError`].
    pub(in super::super) fn begin(
        self,
        jobs: &Jobs,
        since_1970: Duration,
    ) -> Result<(Recording, Box<dyn Archive>, String), RecordError> {
        let Self { opened, header, accepted, rules } = self;
        let mut said = String::new();
        for difference in accepted {
            let _ = writeln!(said, "supervisor: {difference}");
        }
        match (opened.lost(), rules.on_lost) {
            (0, _) => {}
            (count, OnLost::Rerun) => {
                let _ = writeln!(
                    said,
                    "supervisor: {count} may have been running when the supervisor died: run again"
                );
            }
            (count, OnLost::Fail) => {
                let _ = writeln!(
                    said,
                    "supervisor: {count} may have been running when the supervisor died: failed, \
                     as --on-lost fail has it"
                );
            }
        }
        let (store, recorded) = opened.begin(header, since_1970, rules.on_lost)?;
        let archive = Replies { reader: Reader::follow(&rules.file)? };
        let resume = Resume::new(recorded, rules.retry_failed);
        let recording = Recording::new(store, resume, jobs.commands.as_ref(), rules)?;
        Ok((recording, Box::new(archive), said))
    }
}

/// The digest of the program's file; `None` where there is none, or a shell reads what is run.
fn digest(settings: &Settings) -> Option<Digest> {
    let commands = settings.jobs.as_ref().and_then(|jobs| jobs.commands.as_ref());
    if commands.is_some_and(|commands| commands.template.is_script()) {
        return None;
    }
    // What cannot be read or run will show when it is started.
    let file = File::open(lookup::find(&settings.program).ok()?).ok()?;
    Digest::of_file(file).ok()
}

/// How jobs that ended are told later, or once more.
#[derive(Debug)]
struct Replies {
    reader: Reader,
}

impl Archive for Replies {
    fn outcome(&mut self, id: u64) -> Result<Outcome, String> {
        let account = self.reader.account(id).map_err(|error| error.to_string())?;
        let mut account = account.ok_or_else(|| format!("job {id} is not in the journal"))?;
        // What came of it in other runs was told then.
        let run = account.attempts.last().map(|last| last.run);
        account.attempts.retain(|attempt| Some(attempt.run) == run);
        account.into_outcome().ok_or_else(|| format!("the journal has no end of job {id}"))
    }
}
