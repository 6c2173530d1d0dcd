//! What of a run goes into its journal, and in which order? What becomes of each job is recorded
//! first, and told only once that is committed; how far that telling came is recorded after.

mod gate;
mod opening;

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write as _,
    mem,
    time::Duration,
};

use self::gate::Gate;
pub(super) use self::opening::Opening;
pub use self::opening::RecordError;
use crate::{
    settings::{self, CommandSettings, Identity, JobSource, Jobs, OnLost},
    source::{Source, Supply},
};
use journal::{
    Ending, Journal, Record, Settled, Store,
    identity::{Digest, too_long},
    resume::{Decision as Turn, Resume},
};
pub(super) use journal::{Failure, Sequence};
use pool::{
    Action, Actions, Tick,
    event::{Event, WorkerId},
    job::{Accepted, Job, Outcome, Payload},
};
use text::escape::visible;

/// The journal of a run that goes on.
#[derive(Debug)]
pub(super) struct Recording {
    journal: Journal,
    resume: Resume,
    rules: settings::Journal,
    identity: Identity,
    /// What is not handed over yet.
    records: Vec<Record>,
    /// Of jobs that were tried again: how many of their attempts are recorded.
    tried: HashMap<u64, u32>,
    /// Outcomes that are told once so much is committed.
    held: VecDeque<(Sequence, Vec<Outcome>)>,
    /// What is not begun before that is committed; `None` once nothing is any more.
    gate: Option<Gate>,
    /// What was handed over, and of that was committed when it was looked at.
    submitted: Sequence,
    committed: Sequence,
    has_failed: bool,
    /// Outcomes that are not told, since that was said last.
    untold: usize,
}

/// What becomes of a job of the input.
#[derive(Debug)]
pub(super) enum Taken {
    /// It is run.
    Accepted(Accepted),
    /// It has ended; that is told again in this turn.
    Again {
        /// Which.
        place: u64,
        /// The job's number.
        id: u64,
    },
    /// It has ended, and that was told.
    Known,
}

impl Recording {
    fn new(
        store: Store,
        resume: Resume,
        commands: Option<&CommandSettings>,
        rules: settings::Journal,
    ) -> Result<Self, RecordError> {
        Ok(Self {
            journal: Journal::new(store).map_err(RecordError::Thread)?,
            resume,
            identity: Identity::new(commands),
            records: Vec::new(),
            tried: HashMap::new(),
            held: VecDeque::new(),
            gate: Some(Gate::default()),
            submitted: Sequence::default(),
            committed: Sequence::default(),
            has_failed: false,
            untold: 0,
            rules,
        })
    }

    /// How the jobs of an input that can be read twice compare with those of the journal, and how
    /// many are to be run; nothing of another input, nor where there is nothing to compare with.
    pub(super) async fn compare(&mut self, jobs: &Jobs) -> Option<(String, u64)> {
        let is_again = match &jobs.source {
            JobSource::File(path) => path.metadata().is_ok_and(|file| file.is_file()),
            JobSource::Arguments(_) | JobSource::Product(_) => true,
            JobSource::Stdin | JobSource::Follow(_) => false,
        };
        if !is_again || self.resume.is_fresh() || self.rules.only.is_some() {
            return None;
        }
        let mut source = Source::open(&jobs.source, jobs.separator, jobs.job_bytes_max()).ok()?;
        loop {
            match source.next().await {
                Supply::Jobs(jobs) => jobs.iter().for_each(|job| {
                    self.resume.next(&self.identity.of(&job.payload));
                }),
                Supply::TooLong { bytes, .. } => drop(self.resume.next(&too_long(bytes))),
                Supply::Notice(_) => {}
                // Why shows when it is read to be run.
                Supply::Failed(_) | Supply::Ended => break,
            }
            // Lists on the command line never make anybody wait, and may be long.
            tokio::task::yield_now().await;
        }
        let counts = self.resume.counts();
        let file = visible(self.rules.file.as_os_str().as_encoded_bytes());
        Some((format!("supervisor: journal {file}: {counts}\n"), counts.new + counts.again))
    }

    /// Forgets how they compared: the input is read anew.
    pub(super) fn rewind(&mut self) {
        self.resume.rewind();
    }

    /// Takes a job of the input on, or not; `places` counts the turns that were given.
    pub(super) fn take_on(&mut self, job: Job, places: &mut u64) -> Taken {
        let digest = self.identity.of(&job.payload);
        self.take_on_as(digest, job, places)
    }

    /// The same for one that is too long to be read.
    pub(super) fn take_on_too_long(
        &mut self,
        position: u64,
        bytes: u64,
        places: &mut u64,
    ) -> Taken {
        let job = Job { payload: Payload::copy(&[]), position };
        self.take_on_as(too_long(bytes), job, places)
    }

    fn take_on_as(&mut self, digest: Digest, job: Job, places: &mut u64) -> Taken {
        let turn = match self.rules.only {
            Some(job) => Turn::Again { job, lost: 0 },
            None => self.resume.next(&digest),
        };
        let id = match turn {
            Turn::Settled { unsent: false, .. } => return Taken::Known,
            Turn::Settled { job, .. } | Turn::New { job } | Turn::Again { job, .. } => job,
        };
        *places += 1;
        let place = *places;
        match turn {
            Turn::Settled { .. } => return Taken::Again { place, id },
            Turn::New { .. } => {
                let (position, payload) = (job.position, job.payload.clone());
                self.records.push(Record::Job { job: id, digest, position, payload });
            }
            Turn::Again { .. } => {}
        }
        Taken::Accepted(Accepted { id, place, job })
    }

    /// The input has ended: jobs that are not in it any more and whose end was perhaps not told.
    pub(super) fn finish(&mut self) -> Vec<u64> {
        if self.rules.only.is_some() { Vec::new() } else { self.resume.finish() }
    }

    /// Records what is done and what has come of it. Outcomes are taken, and come back once that
    /// is [committed](Self::commit).
    pub(super) fn record(
        &mut self,
        now: Tick,
        actions: &mut Actions,
        pid: impl Fn(WorkerId) -> Option<i32>,
    ) {
        let mut records = mem::take(&mut self.records);
        // Attempts that came to nothing are told behind what has ended, and come before it.
        for action in &actions.list {
            match action {
                Action::Emit(Event::Retried { id, attempt, .. }) => {
                    self.tried.insert(*id, attempt.number);
                    let (attempt, settles) = (attempt.clone(), None);
                    records.push(Record::Ended { job: *id, attempt, settles });
                }
                Action::Requeued { id } => records.push(Record::Requeued { job: *id }),
                _ => {}
            }
        }
        actions.settled.iter().for_each(|outcome| self.end(outcome, &mut records));
        for action in &actions.list {
            let Action::Send { worker, orders, .. } = action else { continue };
            let Some(pid) = pid(*worker) else { continue };
            let started = orders.iter().map(|order| Record::Started {
                job: order.id,
                number: order.attempt,
                worker: *worker,
                pid,
                began: now,
            });
            records.extend(started);
        }
        self.submit(records);
        if self.has_failed {
            let outcomes = mem::take(&mut actions.settled);
            actions.settled = self.without_unrecorded(outcomes);
            return;
        }
        // Of a job that was never tried there is nothing to be recorded.
        if !actions.settled.is_empty() && self.submitted > self.committed {
            self.held.push_back((self.submitted, mem::take(&mut actions.settled)));
        }
    }

    /// The attempts of a job that has ended, as far as they are not recorded.
    fn end(&mut self, outcome: &Outcome, records: &mut Vec<Record>) {
        let recorded = match self.tried.is_empty() {
            true => 0,
            false => self.tried.remove(&outcome.id).unwrap_or(0),
        };
        let mut attempts = outcome.attempts().filter(|it| it.number > recorded).peekable();
        while let Some(attempt) = attempts.next() {
            let settles = attempts.peek().is_none().then(|| Settled::of(&outcome.end)).flatten();
            records.push(Record::Ended { job: outcome.id, attempt: attempt.clone(), settles });
        }
    }

    fn submit(&mut self, records: Vec<Record>) {
        if !records.is_empty() && !self.has_failed {
            self.submitted = self.journal.submit(records);
        }
    }

    /// Whether this may be done now; else it comes back once what it was held for is committed.
    pub(super) fn admit(&mut self, action: Action) -> Option<Action> {
        let waits = self.waits(&action);
        let Some(gate) = &mut self.gate else { return Some(action) };
        let admitted = gate.admit(action, waits, self.submitted);
        if admitted.is_none() {
            self.journal.flush();
        }
        admitted
    }

    /// Whether a job is about to begin that must not before it is recorded: any, where what was lost
    /// is not run again; else one that was tried before, so that a death of ours forgets no more
    /// than one attempt of a job.
    fn waits(&self, action: &Action) -> bool {
        let Action::Send { orders, .. } = action else { return false };
        let is_tried = || orders.iter().any(|order| order.attempt > 1);
        self.rules.on_lost == OnLost::Fail || (!self.tried.is_empty() && is_tried())
    }

    /// Waits until more is committed.
    ///
    /// # Errors
    /// It will never be; told once.
    pub(super) async fn news(&self) -> Result<Sequence, Failure> {
        if self.has_failed {
            std::future::pending::<()>().await;
        }
        self.journal.beyond(self.committed).await
    }

    /// So much is committed: the outcomes that may be told, and what may be done.
    pub(super) fn commit(&mut self, upto: Sequence) -> (Vec<Outcome>, Vec<Action>) {
        self.committed = upto;
        let mut outcomes = Vec::new();
        while self.held.front().is_some_and(|(sequence, _)| *sequence <= upto)
            && let Some((_, more)) = self.held.pop_front()
        {
            outcomes.extend(more);
        }
        let admitted = self.gate.as_mut().map(|gate| gate.open(upto));
        (outcomes, admitted.unwrap_or_default())
    }

    /// Nothing is recorded any more: the outcomes that may be told all the same.
    pub(super) fn fail(&mut self) -> Vec<Outcome> {
        self.has_failed = true;
        self.gate = None;
        let held = mem::take(&mut self.held).into_iter().flat_map(|(_, outcomes)| outcomes);
        self.without_unrecorded(held.collect())
    }

    /// What is not recorded is not told: whoever goes on does these jobs again. That a job was not run
    /// needs no record.
    fn without_unrecorded(&mut self, mut outcomes: Vec<Outcome>) -> Vec<Outcome> {
        let all = outcomes.len();
        outcomes.retain(|outcome| !outcome.end.is_final());
        self.untold += all - outcomes.len();
        outcomes
    }

    /// What is said of outcomes that are not told, since this was asked last.
    pub(super) fn take_untold(&mut self) -> Option<String> {
        let untold = mem::take(&mut self.untold);
        let said = "ended and could not be recorded: they are not told, and will be run again";
        (untold > 0).then(|| format!("supervisor: {untold} more {said}\n"))
    }

    /// These outcomes were written.
    pub(super) fn told(&mut self, mut ids: Vec<u64>) {
        ids.sort_unstable();
        let ranges = ids.chunk_by(|one, next| one + 1 == *next);
        let sent = ranges.filter_map(|range| Some((*range.first()?, *range.last()?)));
        self.submit(sent.map(|(first, last)| Record::Sent { first, last }).collect());
    }

    /// Whether outcomes wait to be committed.
    pub(super) fn holds(&self) -> bool {
        !self.held.is_empty() && !self.has_failed
    }

    /// What was handed over is committed now.
    pub(super) fn flush(&self) {
        self.journal.flush();
    }

    /// Whether more may be recorded.
    pub(super) fn has_room(&self) -> bool {
        self.has_failed || self.journal.has_room()
    }

    /// Waits until it may; for ever where it never will.
    pub(super) async fn room(&self) {
        if self.journal.room().await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// How many jobs failed in runs before this one, and are not run again.
    pub(super) fn failed_before(&self) -> u64 {
        self.resume.counts().failed
    }

    /// What is said in the end.
    pub(super) fn summary(&self, is_whole: bool) -> String {
        let file = visible(self.rules.file.as_os_str().as_encoded_bytes());
        let counts = self.resume.counts();
        let mut text = format!("journal {file}: ");
        if self.rules.only.is_none() && !self.resume.is_fresh() {
            // Of what was not read to its end nobody knows what is gone.
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

    /// Commits what was handed over, and how the run ended.
    ///
    /// # Errors
    /// Not all could be.
    pub(super) async fn close(self, since_1970: Duration, status: u8) -> Result<(), Failure> {
        self.journal.close(Ending { at: since_1970, status }).await
    }
}
