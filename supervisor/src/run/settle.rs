//! In which order does an outcome go its way? It is recorded, put out, and told, each once the one
//! before is done.

use super::{
    Run,
    record::{Failure, Recording, Sequence, Taken},
    status::exit_status,
};
use pool::{
    Action, Actions, Input, RunEnd, Tick,
    event::ShutdownReason,
    job::{Accepted, Job, Outcome, Payload},
    signal::SAME_REQUEST,
};

impl Run {
    /// What has ended goes out before anything is told of it.
    pub(super) fn perform(&mut self, now: Tick, actions: &mut Actions) {
        if let Some(recording) = &mut self.recording {
            let executor = &self.executor;
            recording.record(now, actions, |worker| executor.pid(worker));
        }
        self.put_out(now, &mut actions.settled);
        for action in actions.list.drain(..) {
            if let Action::Emit(event) = &action {
                self.tell(now, event);
                continue;
            }
            let admitted = match &mut self.recording {
                Some(recording) => recording.admit(action),
                None => Some(action),
            };
            if let Some(action) = admitted {
                self.executor.perform(&action);
            }
        }
    }

    /// Tells of these outcomes, and takes them.
    fn put_out(&mut self, now: Tick, outcomes: &mut Vec<Outcome>) {
        if outcomes.is_empty() {
            return;
        }
        self.outlet.outcomes(now, outcomes);
        self.show_outcomes(now, outcomes);
        for outcome in &*outcomes {
            if let Some(line) = self.narrator.outcome(now, outcome) {
                self.say(line);
            }
        }
        self.board.settle(now, outcomes);
        self.hear_of_results();
    }

    /// Outcomes that wait for their turn may find no room on disk, or be had no more.
    fn hear_of_results(&mut self) {
        let Some(error) = self.outlet.results_failure() else { return };
        self.say(format!("supervisor: {error}\n"));
        if error.is_loss() {
            self.results_lost = Some(error.errno());
        }
    }

    /// Takes jobs of the input on: those that are to be run.
    pub(super) fn take_on(&mut self, jobs: Vec<Job>) -> Option<Input> {
        let accepted: Vec<Accepted> = if self.recording.is_none() {
            // Millions a second come this way: each is moved once.
            jobs.into_iter().map(|job| next(job, &mut self.places)).collect()
        } else {
            let accepted = jobs.into_iter().filter_map(|job| self.take_on_recorded(job)).collect();
            self.outlet.release();
            accepted
        };
        (!accepted.is_empty()).then_some(Input::Jobs(accepted))
    }

    fn take_on_recorded(&mut self, job: Job) -> Option<Accepted> {
        let taken = self.recording.as_mut()?.take_on(job, &mut self.places);
        self.accepted(taken)
    }

    /// The same for one that was too long to be read.
    pub(super) fn take_on_too_long(&mut self, position: u64, bytes: u64) -> Option<Input> {
        let taken = match &mut self.recording {
            Some(recording) => recording.take_on_too_long(position, bytes, &mut self.places),
            None => {
                let job = Job { payload: Payload::copy(&[]), position };
                Taken::Accepted(next(job, &mut self.places))
            }
        };
        let Accepted { id, place, job } = self.accepted(taken)?;
        Some(Input::TooLong { id, place, position: job.position, bytes })
    }

    fn accepted(&mut self, taken: Taken) -> Option<Accepted> {
        match taken {
            Taken::Accepted(accepted) => Some(accepted),
            Taken::Again { place, id } => {
                self.outlet.outcome_again(place, id);
                None
            }
            Taken::Known => None,
        }
    }

    /// The input has ended: what ended before and is not in it is not lost all the same.
    pub(super) fn tell_untold(&mut self) {
        for id in self.recording.as_mut().map(Recording::finish).unwrap_or_default() {
            self.places += 1;
            self.outlet.outcome_again(self.places, id);
        }
        self.outlet.release();
        self.hear_of_results();
    }

    /// More is recorded, or nothing will be.
    pub(super) fn recorded(&mut self, news: Result<Sequence, Failure>) -> Option<Input> {
        let Some(recording) = &mut self.recording else { return None };
        match news {
            Ok(upto) => {
                let (mut outcomes, admitted) = recording.commit(upto);
                for action in admitted {
                    self.executor.perform(&action);
                }
                self.put_out(self.began.elapsed(), &mut outcomes);
                self.note_written();
                None
            }
            Err(failure) => {
                let mut outcomes = recording.fail();
                let untold = recording.take_untold();
                self.say(format!("supervisor: {failure}\n"));
                untold.into_iter().for_each(|text| self.say(text));
                self.put_out(self.began.elapsed(), &mut outcomes);
                Some(Input::Shutdown(ShutdownReason::JournalFailed))
            }
        }
    }

    /// Records which outcomes were written.
    pub(super) fn note_written(&mut self) {
        if let Some(recording) = &mut self.recording {
            recording.told(self.outlet.take_written());
        }
    }

    /// Commits all that is left, unless we are asked again to end. A run that left what failed
    /// before as it was has not ended well.
    pub(super) async fn close_recording(&mut self, end: RunEnd) -> RunEnd {
        self.note_written();
        let Some(recording) = self.recording.take() else { return end };
        // Whoever reads the journal keeps its log from going.
        self.outlet.close_archive();
        let end = match end {
            RunEnd::Well if recording.failed_before() > 0 => RunEnd::Failed,
            end => end,
        };
        let closed = recording.close(self.since_1970(), exit_status(end));
        tokio::pin!(closed);
        let failed = RunEnd::Stopped(ShutdownReason::JournalFailed);
        loop {
            tokio::select! {
                closed = &mut closed => match closed {
                    Ok(()) => return end,
                    Err(_) if end == failed => return end,
                    Err(failure) => {
                        self.say(format!("supervisor: {failure}\n"));
                        self.outlet.writer().flushed().await;
                        return failed;
                    }
                },
                request = self.signals.next() => {
                    let before = self.asked;
                    let stops = matches!(self.requested(request), Some(Input::Shutdown(_)));
                    let is_new = before.is_some_and(|before| before.elapsed() >= SAME_REQUEST);
                    if stops && is_new {
                        return end;
                    }
                }
            }
        }
    }
}

/// Without a journal jobs are numbered as they come.
pub(super) fn next(job: Job, places: &mut u64) -> Accepted {
    *places += 1;
    Accepted { id: *places, place: *places, job }
}
