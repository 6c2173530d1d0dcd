//! What stands for records where journals were left out of the build: one that nobody can have.

use std::{convert::Infallible, time::Duration};

use super::status::USAGE;
use crate::{
    settings::{Jobs, Settings},
    sink::Archive,
};
use pool::{
    Action, Actions, Tick,
    event::WorkerId,
    job::{Accepted, Job, Outcome},
};

pub(super) type Failure = Infallible;
pub(super) type Sequence = Infallible;

/// Why nothing can be recorded.
#[derive(Debug, thiserror::Error)]
#[error("this build keeps no journals: build it with the feature `journal`")]
pub struct RecordError;

impl RecordError {
    /// The exit status of who is refused so.
    #[must_use]
    pub fn exit_status(&self) -> u8 {
        USAGE
    }
}

#[derive(Debug)]
pub(super) struct Opening(Infallible);

impl Opening {
    pub(super) fn open(settings: &Settings) -> Result<Option<Self>, RecordError> {
        let journal = settings.jobs.as_ref().and_then(|jobs| jobs.journal.as_ref());
        journal.map_or(Ok(None), |_| Err(RecordError))
    }

    pub(super) fn begin(
        self,
        _: &Jobs,
        _: Duration,
    ) -> Result<(Recording, Box<dyn Archive>, String), RecordError> {
        match self.0 {}
    }
}

#[derive(Debug)]
pub(super) struct Recording(Infallible);

#[derive(Debug)]
pub(super) enum Taken {
    Accepted(Accepted),
    #[expect(dead_code, reason = "there is no run before this one")]
    Again {
        place: u64,
        id: u64,
    },
    #[expect(dead_code, reason = "there is no run before this one")]
    Known,
}

/// All of them impossible.
impl Recording {
    pub(super) async fn compare(&mut self, _: &Jobs) -> Option<(String, u64)> {
        match self.0 {}
    }

    pub(super) fn rewind(&mut self) {
        match self.0 {}
    }

    pub(super) fn take_on(&mut self, _: Job, _: &mut u64) -> Taken {
        match self.0 {}
    }

    pub(super) fn take_on_too_long(&mut self, _: u64, _: u64, _: &mut u64) -> Taken {
        match self.0 {}
    }

    pub(super) fn finish(&mut self) -> Vec<u64> {
        match self.0 {}
    }

    pub(super) fn record(&mut self, _: Tick, _: &mut Actions, _: impl Fn(WorkerId) -> Option<i32>) {
        match self.0 {}
    }

    pub(super) fn admit(&mut self, _: Action) -> Option<Action> {
        match self.0 {}
    }

    pub(super) async fn news(&self) -> Result<Sequence, Failure> {
        match self.0 {}
    }

    pub(super) fn commit(&mut self, _: Sequence) -> (Vec<Outcome>, Vec<Action>) {
        match self.0 {}
    }

    pub(super) fn fail(&mut self) -> Vec<Outcome> {
        match self.0 {}
    }

    pub(super) fn take_untold(&mut self) -> Option<String> {
        match self.0 {}
    }

    pub(super) fn told(&mut self, _: Vec<u64>) {
        match self.0 {}
    }

    pub(super) fn holds(&self) -> bool {
        match self.0 {}
    }

    pub(super) fn flush(&self) {
        match self.0 {}
    }

    pub(super) fn has_room(&self) -> bool {
        match self.0 {}
    }

    pub(super) async fn room(&self) {
        match self.0 {}
    }

    pub(super) fn failed_before(&self) -> u64 {
        match self.0 {}
    }

    pub(super) fn summary(&self, _: bool) -> String {
        match self.0 {}
    }

    pub(super) async fn close(self, _: Duration, _: u8) -> Result<(), Failure> {
        match self.0 {}
    }
}
