//! Performs a user's commands on the run: turns each into an input for the pool, or refuses it.

use super::{Perform, Run};
use crate::{
    executor::Executor,
    model::{ControlCommand, Done, Refusal, WorkerName},
    observe::{
        board::{Live, SlotView, State, Vacancy},
        settled::KEPT_INPUT_BYTES,
    },
    settings::Workers,
};
use pool::{
    Input, Standing,
    event::{Ending, ShutdownReason},
    job::{Accepted, Job, JobEnd},
};

/// The most live workers that a refusal lists.
const LISTED_MAX: usize = 16;

/// What was done, and the input that makes the pool do it.
type Performed = Result<(Done, Option<Input>), Refusal>;

impl<E: Perform> Run<E> {
    pub(super) fn command(&mut self, command: &ControlCommand) -> Performed {
        match *command {
            ControlCommand::Drain => Ok((Done::Draining, Some(asked(Ending::Drain)))),
            ControlCommand::Stop { now } => Ok(self.stop(now)),
            ControlCommand::Kill { worker } => self.kill(worker),
            ControlCommand::Cancel { job, now } => self.cancel(job, now),
            ControlCommand::Retry { job } => self.retry(job),
            ControlCommand::Scale { workers } => self.scale(workers),
            ControlCommand::ScaleBy { workers } => {
                self.scale(self.pool.workers().saturating_add_signed(workers))
            }
        }
    }

    fn stop(&mut self, now: bool) -> (Done, Option<Input>) {
        self.stops.note(tokio::time::Instant::now());
        let ending = if now { Ending::Now } else { Ending::Stop };
        (Done::Stopping { now }, Some(asked(ending)))
    }

    /// Kills one worker. Of two in a slot, the one that is needed less: the slot stays served. A slot
    /// without a worker that was given up, or waits for its next start, is started.
    fn kill(&mut self, name: WorkerName) -> Performed {
        let slots = self.views.board.slots();
        let live = || slots.iter().flat_map(|slot| &slot.live);
        let is_needed = |live: &&Live| match live.state {
            State::Stopping | State::Unkillable => 0,
            State::Running => 1,
            State::Ready => 2,
        };
        if let Some(found) = live().filter(|it| name.matches(it.worker)).min_by_key(is_needed) {
            let killed = Done::Killed { workers: vec![found.worker.into()] };
            return Ok((killed, Some(Input::Kill { workers: vec![found.worker] })));
        }
        let is_vacant = |slot: &&SlotView| {
            let is_vacant = matches!(slot.vacancy(), Vacancy::Waiting | Vacancy::GivenUp);
            is_vacant && slot.slot == name.slot && name.generation.is_none()
        };
        let is_over = self.views.board.stopping().is_some() || self.phase.end().is_some();
        if slots.iter().any(|slot| is_vacant(&slot)) && !is_over {
            return Ok((Done::Started { worker: name }, Some(Input::StartSlot(name.slot))));
        }
        let live = live().take(LISTED_MAX).map(|live| live.worker.into()).collect();
        Err(Refusal::NoSuchWorker { worker: name, live })
    }

    fn cancel(&mut self, job: u64, now: bool) -> Performed {
        let worker = match self.pool.standing(job) {
            Some(Standing::Waiting) => None,
            Some(Standing::Running(worker)) => Some(worker.into()),
            None => return Err(self.not_in_flight(job)),
        };
        Ok((Done::Cancelled { job, worker }, Some(Input::Cancel { id: job, now })))
    }

    fn retry(&mut self, job: u64) -> Performed {
        if self.pool.standing(job).is_some() {
            return Err(Refusal::JobNotEnded { job });
        }
        if self.views.board.stopping().is_some() || self.phase.end().is_some() {
            return Err(Refusal::Stopping);
        }
        let mut failures = self.views.board.settled().failures().iter();
        let Some(failed) = failures.find(|failed| failed.outcome.id == job) else {
            return Err(self.not_in_flight(job));
        };
        if let JobEnd::TooLong { .. } = failed.outcome.end {
            return Err(Refusal::JobTooLong { job });
        }
        let Some(payload) = failed.whole_input() else {
            let (input_bytes, kept_bytes) = (failed.input_bytes, KEPT_INPUT_BYTES);
            return Err(Refusal::InputNotKept { job, input_bytes, kept_bytes });
        };
        let again = Job { payload: payload.clone(), position: failed.outcome.position };
        let place = self.next_sequence();
        let accepted = Accepted { id: job, place, job: again };
        Ok((Done::Retried { job }, Some(Input::Jobs(vec![accepted]))))
    }

    fn scale(&mut self, workers: u32) -> Performed {
        if self.views.board.stopping().is_some() || self.phase.end().is_some() {
            return Err(Refusal::Stopping);
        }
        let wanted: Workers = workers
            .to_string()
            .parse()
            .map_err(|error| Refusal::InvalidWorkerCount { workers, reason: format!("{error}") })?;
        let files = self.executor.open_files();
        files
            .suffice_for(wanted.get(), Executor::CONNECTION_FILES, 0, "workers", "scale")
            .map_err(|error| Refusal::TooFewOpenFiles { workers, reason: error.to_string() })?;
        let before = self.pool.workers();
        self.views.board.scale(wanted.get());
        Ok((Done::Scaled { before, workers }, Some(Input::Scale(wanted.get()))))
    }

    /// Why nothing can be done to a job that neither waits nor runs.
    fn not_in_flight(&self, job: u64) -> Refusal {
        let accepted = self.views.board.jobs().accepted;
        if self.settings.jobs.is_none() {
            Refusal::NoJobs
        } else if (1..=accepted).contains(&job) {
            Refusal::JobEnded { job }
        } else {
            Refusal::NoSuchJob { job, accepted }
        }
    }
}

fn asked(ending: Ending) -> Input {
    Input::Shutdown(ShutdownReason::ByUser(ending))
}
