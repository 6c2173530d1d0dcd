//! What is done at somebody's word, and what is said of it? Whatever is not there is named, with what
//! is.

use super::Run;
use crate::{
    control::wire::{Act, Worker},
    observe::settled::INPUT_BYTES_MAX,
    settings::Workers,
};
use pool::{
    Input, Standing,
    event::{Ending, ShutdownReason, WorkerId},
    job::{Accepted, Job, JobEnd},
};

type Done = Result<(String, Option<Input>), String>;

impl Run {
    /// The answer, and what is for the pool.
    pub(super) fn act(&mut self, act: &Act) -> Done {
        match act {
            Act::Drain => self.end_by(Ending::Drain, "no job is started; what runs finishes"),
            Act::Stop { now: false } => self.end_by(Ending::Stop, "asked to stop"),
            Act::Stop { now: true } => self.end_by(Ending::Now, "asked to stop at once"),
            Act::Kill { worker } => self.kill(*worker),
            Act::Cancel { job, now } => self.cancel(*job, *now),
            Act::Retry { job } => self.retry(*job),
            Act::Scale { workers } => self.scale(*workers),
            Act::ScaleBy { workers } => {
                self.scale(self.pool.workers().saturating_add_signed(*workers))
            }
        }
    }

    fn end_by(&mut self, ending: Ending, said: &str) -> Done {
        if ending != Ending::Drain {
            self.asked = Some(tokio::time::Instant::now());
        }
        Ok((said.into(), Some(Input::Shutdown(ShutdownReason::Asked(ending)))))
    }

    fn kill(&mut self, wanted: Worker) -> Done {
        let live = || self.board.slots().iter().flat_map(|slot| &slot.live);
        let found: Vec<WorkerId> =
            live().map(|live| live.worker).filter(|worker| wanted.is(*worker)).collect();
        if found.is_empty() {
            let there: Vec<_> = live().take(16).map(|live| live.worker.to_string()).collect();
            return Err(format!("there is no worker {wanted}: there are {}", list(&there)));
        }
        let killed: Vec<_> = found.iter().map(WorkerId::to_string).collect();
        Ok((format!("{} killed", killed.join(", ")), Some(Input::Kill { workers: found })))
    }

    fn cancel(&mut self, id: u64, now: bool) -> Done {
        let said = match self.pool.standing(id) {
            Some(Standing::Waiting) => format!("job {id} is not begun"),
            Some(Standing::Running(worker)) => format!("job {id} is ended, on {worker}"),
            None => return Err(self.no_job(id)),
        };
        Ok((said, Some(Input::Cancel { id, now })))
    }

    fn retry(&mut self, id: u64) -> Done {
        if self.pool.standing(id).is_some() {
            return Err(format!("job {id} is not done yet: it is cancelled with `cancel {id}`"));
        }
        if self.board.stopping().is_some() || self.over.is_some() {
            return Err("the run is stopping: nothing more is started".into());
        }
        let mut failures = self.board.settled().failures().iter();
        let Some(failed) = failures.find(|failed| failed.outcome.id == id) else {
            return Err(self.no_job(id));
        };
        let outcome = &failed.outcome;
        if let JobEnd::TooLong { .. } = outcome.end {
            return Err(format!(
                "job {id} is too long for any worker: allow more with --max-frame"
            ));
        }
        let Some(payload) = failed.whole_input() else {
            return Err(format!(
                "job {id} has an input of {} bytes, of which {INPUT_BYTES_MAX} are kept: put it into the input once more",
                failed.input_bytes
            ));
        };
        let job = Job { payload: payload.clone(), position: outcome.position };
        self.places += 1;
        let accepted = Accepted { id, place: self.places, job };
        Ok((format!("job {id} is done again"), Some(Input::Jobs(vec![accepted]))))
    }

    fn scale(&mut self, workers: u32) -> Done {
        let text = workers.to_string();
        let wanted: Workers = text.parse().map_err(|error| format!("{error}"))?;
        let (line, other) = (crate::executor::Executor::LINE_FILES, 0);
        self.executor
            .open_files()
            .suffice_for(wanted.get(), line, other, "workers", "scale")
            .map_err(|error| error.to_string())?;
        self.board.grow(wanted.get());
        let plural = if workers == 1 { "" } else { "s" };
        Ok((format!("{workers} worker{plural} from now on"), Some(Input::Scale(wanted.get()))))
    }

    /// What is said of a job that is not there.
    fn no_job(&self, id: u64) -> String {
        let accepted = self.board.jobs().accepted;
        if self.settings.jobs.is_none() {
            return "this run has no jobs".into();
        }
        if (1..=accepted).contains(&id) {
            return format!(
                "job {id} is over, and did not fail lately: there is nothing to be done"
            );
        }
        format!("there is no job {id}: they are numbered from 1 to {accepted} so far")
    }
}

fn list(there: &[String]) -> String {
    if there.is_empty() { "none".into() } else { there.join(", ") }
}
