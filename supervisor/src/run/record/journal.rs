//! The [`Log`] that is a journal. It is opened only if no other run writes to it, it is intact, and
//! it was kept for the same run.

use std::{fmt::Write as _, fs::File, mem, time::Duration};

use super::{Begun, Known, LocalFuture, Log, Opening, RecordError, Sequence};
use crate::{
    settings::{self, Identity, JobSource, Jobs, OnLost, Settings},
    sink::Archive,
    source::{Batch, Source},
};
use ::journal::{
    self, Ending, Header, Journal, Opened, Reader, Record, Settled,
    identity::{Digest, too_long},
    resume::{self, Decision, Resume},
};
use pool::{
    Tick,
    event::WorkerId,
    job::{Attempt, Job, JobEnd, Outcome},
};
use process::spawn::lookup;
use text::escape::visible;

/// Opens the journal of these settings, if they have one.
///
/// # Errors
/// The journal cannot be written to, or belongs to another run.
pub(in super::super) fn open(settings: &Settings) -> Result<Option<Opening>, RecordError> {
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
    Ok(Some(Box::new(move |jobs, since_1970| {
        let text = opening_messages(&accepted, &opened, rules.on_lost);
        begin(opened, header, rules, jobs, since_1970, text)
    })))
}

/// What is said when a run begins: differences from the previous run that the user accepted, and
/// jobs that were in flight when it died.
fn opening_messages(accepted: &[resume::Difference], opened: &Opened, on_lost: OnLost) -> String {
    let mut text = String::new();
    for difference in accepted {
        let _ = writeln!(text, "supervisor: {difference}");
    }
    if opened.was_empty() {
        text.push_str("supervisor: the journal was an empty file: no job counts as done\n");
    }
    let end = match on_lost {
        OnLost::Rerun => "run again",
        OnLost::Fail => "failed, as --on-lost fail has it",
    };
    let count = opened.lost();
    if count > 0 {
        let _ = writeln!(
            text,
            "supervisor: {count} may have been running when the supervisor died: {end}"
        );
    }
    text
}

fn begin(
    opened: Opened,
    header: Header,
    rules: settings::Journal,
    jobs: &Jobs,
    since_1970: Duration,
    text: String,
) -> Result<Begun, RecordError> {
    let (store, recorded) = opened.begin(header, since_1970, rules.on_lost)?;
    let archive = Box::new(Replies { reader: Reader::follow(&rules.file)? });
    let log = Box::new(JournalLog {
        journal: Journal::new(store).map_err(RecordError::Thread)?,
        resume: Resume::new(recorded, rules.retry_failed),
        identity: Identity::new(jobs.commands.as_ref()),
        records: Vec::new(),
        rules,
    });
    Ok(Begun { log, archive, text })
}

/// The digest of the program's file; `None` if it cannot be read, or if a shell interprets the
/// command. A file that cannot be run is reported when it is started.
fn digest(settings: &Settings) -> Option<Digest> {
    let commands = settings.jobs.as_ref().and_then(|jobs| jobs.commands.as_ref());
    if commands.is_some_and(|commands| commands.template.is_script()) {
        return None;
    }
    let file = File::open(lookup::find(&settings.program).ok()?).ok()?;
    Digest::of_file(file).ok()
}

/// The journal of a run that is under way.
#[derive(Debug)]
struct JournalLog {
    journal: Journal,
    resume: Resume,
    rules: settings::Journal,
    identity: Identity,
    /// Records that are not submitted yet.
    records: Vec<Record>,
}

impl JournalLog {
    fn identify_as(&mut self, digest: Digest, job: &Job) -> Known {
        let turn = match self.rules.only {
            Some(job) => Decision::Again { job, lost: 0 },
            None => self.resume.next(&digest),
        };
        match turn {
            Decision::Settled { job, unsent, .. } => {
                Known::Settled { id: job, is_written: !unsent }
            }
            Decision::Again { job, .. } => Known::Open { id: job },
            Decision::New { job: id } => {
                let (position, payload) = (job.position, job.payload.clone());
                self.records.push(Record::Job { job: id, digest, position, payload });
                Known::Open { id }
            }
        }
    }

    async fn compare_with(&mut self, jobs: &Jobs) -> Option<(String, u64)> {
        let can_be_read_twice = match &jobs.source {
            JobSource::File(path) => path.metadata().is_ok_and(|file| file.is_file()),
            JobSource::Arguments(_) | JobSource::Product(_) => true,
            JobSource::Stdin | JobSource::Follow(_) => false,
        };
        if !can_be_read_twice || self.resume.is_fresh() || self.rules.only.is_some() {
            return None;
        }
        let mut source = Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max()).ok()?;
        loop {
            match source.next().await {
                Batch::Jobs(jobs) => jobs.iter().for_each(|job| {
                    self.resume.next(&self.identity.of(&job.payload));
                }),
                Batch::TooLong { bytes, .. } => drop(self.resume.next(&too_long(bytes))),
                Batch::Notice(_) | Batch::Lost(_) => {}
                // An error is reported when the input is read to be run.
                Batch::Failed(_) | Batch::Ended => break,
            }
            // A list on the command line is always ready, and may be long.
            tokio::task::yield_now().await;
        }
        let counts = self.resume.counts();
        Some((format!("supervisor: {}: {counts}\n", self.name()), counts.new + counts.again))
    }

    fn name(&self) -> String {
        format!("journal {}", visible(self.rules.file.as_os_str().as_encoded_bytes()))
    }
}

impl Log for JournalLog {
    fn compare<'a>(&'a mut self, jobs: &'a Jobs) -> LocalFuture<'a, Option<(String, u64)>> {
        Box::pin(self.compare_with(jobs))
    }

    fn rewind(&mut self) {
        self.resume.rewind();
    }

    fn identify(&mut self, job: &Job) -> Known {
        let digest = self.identity.of(&job.payload);
        self.identify_as(digest, job)
    }

    fn identify_too_long(&mut self, job: &Job, bytes: u64) -> Known {
        self.identify_as(too_long(bytes), job)
    }

    fn missing(&mut self) -> Vec<u64> {
        if self.rules.only.is_some() { Vec::new() } else { self.resume.finish() }
    }

    fn started(&mut self, job: u64, attempt: u32, worker: WorkerId, pid: i32, now: Tick) {
        self.records.push(Record::Started { job, number: attempt, worker, pid, began: now });
    }

    fn start_cancelled(&mut self, job: u64) {
        self.records.push(Record::Requeued { job });
    }

    fn ended(&mut self, job: u64, attempt: &Attempt, end: Option<&JobEnd>) {
        let (attempt, settles) = (attempt.clone(), end.and_then(Settled::of));
        self.records.push(Record::Ended { job, attempt, settles });
    }

    fn written(&mut self, first: u64, last: u64) {
        self.records.push(Record::Sent { first, last });
    }

    fn submit(&mut self) -> Option<Sequence> {
        let records = mem::take(&mut self.records);
        (!records.is_empty()).then(|| self.journal.submit(records).0)
    }

    fn discard(&mut self) {
        self.records.clear();
    }

    fn flush(&self) {
        self.journal.flush();
    }

    fn has_room(&self) -> bool {
        self.journal.has_room()
    }

    fn room(&self) -> LocalFuture<'_, ()> {
        Box::pin(async {
            if self.journal.room().await.is_err() {
                std::future::pending::<()>().await;
            }
        })
    }

    fn committed_beyond(&self, sequence: Sequence) -> LocalFuture<'_, Result<Sequence, String>> {
        Box::pin(async move {
            let beyond = self.journal.beyond(journal::Sequence(sequence)).await;
            beyond.map(|upto| upto.0).map_err(|failure| failure.to_string())
        })
    }

    fn starts_come_first(&self) -> bool {
        self.rules.on_lost == OnLost::Fail
    }

    fn failed_before(&self) -> u64 {
        self.resume.counts().failed
    }

    fn summary(&self, is_whole: bool) -> String {
        let counts = self.resume.counts();
        let mut text = format!("{}: ", self.name());
        if self.rules.only.is_none() && !self.resume.is_fresh() {
            // Only an input that was read to its end shows which jobs are gone from it.
            let counts = if is_whole { counts.to_string() } else { counts.of_a_part() };
            let _ = write!(text, "{counts}; ");
        }
        let _ = writeln!(text, "sync {}", self.rules.sync.name());
        if counts.failed > 0 {
            let _ = writeln!(
                text,
                "supervisor: {} failed before and were not run again: --retry-failed runs them",
                counts.failed
            );
        }
        text
    }

    fn close(
        self: Box<Self>,
        since_1970: Duration,
        status: u8,
    ) -> LocalFuture<'static, Result<(), String>> {
        Box::pin(async move {
            let closed = self.journal.close(Ending { at: since_1970, status }).await;
            closed.map_err(|failure| failure.to_string())
        })
    }
}

/// Outcomes read back from the journal, to be shown later or again.
#[derive(Debug)]
struct Replies {
    reader: Reader,
}

impl Archive for Replies {
    fn outcome(&mut self, id: u64) -> Result<Outcome, String> {
        let account = self.reader.account(id).map_err(|error| error.to_string())?;
        let mut account = account.ok_or_else(|| format!("job {id} is not in the journal"))?;
        // Attempts of earlier runs were shown by those runs.
        let run = account.attempts.last().map(|last| last.run);
        account.attempts.retain(|attempt| Some(attempt.run) == run);
        account.into_outcome().ok_or_else(|| format!("the journal has no end of job {id}"))
    }
}
