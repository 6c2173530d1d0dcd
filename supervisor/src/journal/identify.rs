//! What makes a job? By the digest of that it is known from one run to the next.

use super::identity::Digest;
use crate::{
    settings::Commands,
    template::{Filling, Words},
};
use pool::job::Payload;

/// What makes the jobs of a run.
#[derive(Debug)]
pub struct Identity {
    /// `None` where it is a job's bytes alone.
    commands: Option<Commands>,
    words: Words,
}

impl Identity {
    /// For jobs that are commands: of these, what is run, and what it reads.
    #[must_use]
    pub fn new(commands: Option<&Commands>) -> Self {
        Self { commands: commands.cloned(), words: Words::default() }
    }

    /// What this job is known by.
    pub fn of(&mut self, payload: &Payload) -> Digest {
        let payload = payload.as_bytes();
        let Some(commands) = &self.commands else { return Digest::of(payload) };
        // The numbers of jobs and slots are not what makes a job.
        commands.template.fill(Filling { payload, number: 0, slot: 0 }, &mut self.words);
        Digest::of_parts(self.words.iter().chain(commands.stdin.then_some(payload)))
    }
}

/// That of a job that is too long to be kept, of which only the length is known.
#[must_use]
pub fn too_long(bytes: u64) -> Digest {
    Digest::of_parts([&b"too long"[..], &bytes.to_le_bytes()])
}
