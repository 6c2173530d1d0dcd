//! The input of jobs: gives each job its numbers and passes it to the pool, unless a previous run
//! has done it.

use super::{
    Perform, Run,
    record::{Recording, Taken},
};
use crate::{
    progress::Total,
    source::{Batch, Source},
};
use pool::{
    Input,
    event::ShutdownReason,
    job::{Accepted, Job, Payload},
};

/// Where a run's jobs come from.
#[derive(Debug, Default)]
pub(super) struct JobInput {
    /// `None` for a run without jobs, and once the input has ended.
    pub(super) source: Option<Source>,
    /// The sequence number of the last job that has a place in the output.
    pub(super) sequence: u64,
    /// Whether the input has lost jobs.
    pub(super) has_lost: bool,
    /// The number of jobs in all; `None` for a run without jobs.
    pub(super) total: Option<Total>,
}

impl<E: Perform> Run<E> {
    /// Takes what the source supplies.
    pub(super) fn supply(&mut self, supply: Batch) -> Option<Input> {
        match supply {
            Batch::Jobs(jobs) => self.take(jobs),
            Batch::TooLong { position, bytes } => self.take_too_long(position, bytes),
            Batch::Notice(text) => {
                self.say(format!("supervisor: {text}\n"));
                None
            }
            Batch::Lost(text) => {
                self.edges.input.has_lost = true;
                self.say(format!("supervisor: {text}\n"));
                None
            }
            Batch::Ended => {
                self.edges.input.source = None;
                self.show_missing();
                Some(Input::SourceEnded)
            }
            Batch::Failed(error) => {
                self.say(format!("supervisor: {error}\n"));
                Some(Input::Shutdown(ShutdownReason::SourceFailed))
            }
        }
    }

    /// Takes jobs of the input: those that are to be run go to the pool.
    fn take(&mut self, jobs: Vec<Job>) -> Option<Input> {
        let accepted: Vec<Accepted> = if self.edges.recording.is_none() {
            // Millions of jobs a second take this path: each is moved once.
            let sequence = &mut self.edges.input.sequence;
            jobs.into_iter().map(|job| number(job, sequence)).collect()
        } else {
            let accepted = jobs.into_iter().filter_map(|job| self.take_recorded(job)).collect();
            self.edges.outlet.release();
            accepted
        };
        (!accepted.is_empty()).then_some(Input::Jobs(accepted))
    }

    fn take_recorded(&mut self, job: Job) -> Option<Accepted> {
        let sequence = &mut self.edges.input.sequence;
        let taken = self.edges.recording.as_mut()?.take(job, sequence);
        self.accept(taken)
    }

    /// Takes a job that was too long to be read.
    fn take_too_long(&mut self, position: u64, bytes: u64) -> Option<Input> {
        let sequence = &mut self.edges.input.sequence;
        let taken = match &mut self.edges.recording {
            Some(recording) => recording.take_too_long(position, bytes, sequence),
            None => {
                let job = Job { payload: Payload::copy(&[]), position };
                Taken::Accepted(number(job, sequence))
            }
        };
        let Accepted { id, place, job } = self.accept(taken)?;
        Some(Input::TooLong { id, place, position: job.position, bytes })
    }

    fn accept(&mut self, taken: Taken) -> Option<Accepted> {
        match taken {
            Taken::Accepted(accepted) => Some(accepted),
            Taken::Again { place, id } => {
                self.edges.outlet.outcome_again(place, id);
                None
            }
            Taken::Done => None,
        }
    }

    /// The input has ended: outcomes of jobs that are no longer in it are shown as well, unless
    /// they certainly were.
    fn show_missing(&mut self) {
        let missing = self.edges.recording.as_mut().map(Recording::missing);
        for id in missing.unwrap_or_default() {
            let place = self.next_sequence();
            self.edges.outlet.outcome_again(place, id);
        }
        self.edges.outlet.release();
        self.check_results();
    }

    pub(super) fn next_sequence(&mut self) -> u64 {
        self.edges.input.sequence += 1;
        self.edges.input.sequence
    }
}

/// Without a journal the id of a job is its sequence number.
fn number(job: Job, sequence: &mut u64) -> Accepted {
    *sequence += 1;
    Accepted { id: *sequence, place: *sequence, job }
}
