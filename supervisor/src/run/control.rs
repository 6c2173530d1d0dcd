//! Performs a user's commands on the run: turns each into an input for the pool, or refuses it.

use super::{Perform, Run, views::RunEvent};
use crate::{
    executor::Executor,
    model::{ControlCommand, Done, Refusal, WorkerName},
    observe::{
        board::{Live, State, Vacancy},
        settled::KEPT_INPUT_BYTES,
    },
    settings::Workers,
};
use pool::{
    Input, Standing,
    event::{Ending, ShutdownReason, WorkerId},
    job::{Accepted, Job, JobEnd},
    rules::Restart,
    signal::Signal,
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
            ControlCommand::Kill { worker } => self.kill(&[worker]),
            ControlCommand::Restart { worker } => self.restart(worker),
            ControlCommand::Roll => self.roll(),
            ControlCommand::Signal { ref signal, ref workers } => self.signal(signal, workers),
            ControlCommand::Pause => self.pause(),
            ControlCommand::Resume => self.resume(),
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

    /// Kills one worker for each name. Of two in a slot, it is the one that is needed less: the slot
    /// stays served. A slot without a worker that was given up, or waits for its next start, is
    /// started.
    fn kill(&mut self, names: &[WorkerName]) -> Performed {
        if let [name] = names
            && self.is_vacant(*name)
        {
            self.check_goes_on()?;
            return Ok((Done::Started { worker: *name }, Some(Input::StartSlot(name.slot))));
        }
        self.live(names)?;
        let live = || self.views.board.slots().iter().flat_map(|slot| &slot.live);
        let is_needed = |live: &&Live| match live.state {
            State::Stopping | State::Unkillable => 0,
            State::Running => 1,
            State::Ready => 2,
        };
        let chosen = |name: &WorkerName| {
            let named = live().filter(|live| name.matches(live.worker));
            named.min_by_key(is_needed).map(|live| live.worker)
        };
        let workers: Vec<WorkerId> = match names {
            [] => live().map(|live| live.worker).collect(),
            names => names.iter().filter_map(chosen).collect(),
        };
        Ok((Done::Killed { workers: named(&workers) }, Some(Input::Kill { workers })))
    }

    /// Whether this slot was given up, or waits for its next start.
    fn is_vacant(&self, name: WorkerName) -> bool {
        let mut slots = self.views.board.slots().iter();
        name.generation.is_none()
            && slots.any(|slot| {
                slot.slot == name.slot
                    && matches!(slot.vacancy(), Vacancy::Waiting | Vacancy::GivenUp)
            })
    }

    fn restart(&mut self, name: WorkerName) -> Performed {
        self.check_replaces()?;
        let workers = self.live(&[name])?;
        Ok((Done::Restarting { workers: named(&workers) }, Some(Input::Restart { workers })))
    }

    fn roll(&mut self) -> Performed {
        self.check_replaces()?;
        self.emit(self.clock.now(), RunEvent::RollRequested);
        Ok((Done::Rolling, Some(Input::Roll)))
    }

    /// Whether workers of this run are replaced now.
    fn check_replaces(&self) -> Result<(), Refusal> {
        if self.settings.restart != Restart::Always {
            return Err(Refusal::CannotReplace);
        }
        self.check_goes_on()
    }

    fn check_goes_on(&self) -> Result<(), Refusal> {
        match self.views.board.stopping().is_some() || self.phase.end().is_some() {
            true => Err(Refusal::Stopping),
            false => Ok(()),
        }
    }

    /// Sends a signal to workers. SIGKILL is the pool's: its jobs are not charged for it.
    fn signal(&mut self, signal: &str, names: &[WorkerName]) -> Performed {
        let unknown = |_| Refusal::NoSuchSignal { signal: signal.into() };
        let signal: Signal = signal.parse().map_err(unknown)?;
        if signal == Signal::KILL {
            return self.kill(names);
        }
        let (mut reached, mut refused) = (Vec::new(), None);
        for worker in self.live(names)? {
            match self.executor.signal(worker, signal) {
                Ok(()) => reached.push(worker),
                Err(reason) => {
                    refused = Some(Refusal::CannotSignal {
                        signal: signal.to_string(),
                        worker: worker.into(),
                        reason: reason.to_string(),
                    });
                }
            }
        }
        match refused.filter(|_| reached.is_empty()) {
            Some(refusal) => Err(refusal),
            None => {
                let (signal, workers) = (signal.to_string(), named(&reached));
                Ok((Done::Signalled { signal, workers }, None))
            }
        }
    }

    fn pause(&mut self) -> Performed {
        self.check_pauses()?;
        let running = self.executor.current_jobs().len() as u64;
        Ok((Done::Paused { running }, Some(Input::Pause(true))))
    }

    fn resume(&mut self) -> Performed {
        self.check_pauses()?;
        Ok((Done::Resumed, Some(Input::Pause(false))))
    }

    fn check_pauses(&self) -> Result<(), Refusal> {
        if self.settings.jobs.is_none() {
            return Err(Refusal::CannotPause);
        }
        self.check_goes_on()
    }

    /// The live workers with these names, or all if there are no names.
    fn live(&self, names: &[WorkerName]) -> Result<Vec<WorkerId>, Refusal> {
        let live =
            || self.views.board.slots().iter().flat_map(|slot| &slot.live).map(|live| live.worker);
        for name in names {
            if !live().any(|worker| name.matches(worker)) {
                let live = live().take(LISTED_MAX).map(WorkerName::from).collect();
                return Err(Refusal::NoSuchWorker { worker: *name, live });
            }
        }
        let is_named =
            |worker: &WorkerId| names.is_empty() || names.iter().any(|it| it.matches(*worker));
        Ok(live().filter(is_named).collect())
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
        self.check_goes_on()?;
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
        self.check_goes_on()?;
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

fn named(workers: &[WorkerId]) -> Vec<WorkerName> {
    workers.iter().copied().map(WorkerName::from).collect()
}

fn asked(ending: Ending) -> Input {
    Input::Shutdown(ShutdownReason::ByUser(ending))
}
