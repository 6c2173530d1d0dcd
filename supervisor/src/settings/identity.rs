//! Identifies jobs by content, so that a run that is continued recognises them.

use journal::identity::Digest;
use pool::job::Payload;

use super::command::CommandSettings;
use crate::template::{Filling, Words};

/// Computes the digests of the jobs of a run.
#[derive(Debug)]
pub struct Identity {
    /// `None` if a job is identified by its bytes alone.
    command: Option<CommandSettings>,
    words: Words,
}

impl Identity {
    /// Identifies jobs by their bytes, or, if they are commands, by the words of the command and
    /// its input.
    #[must_use]
    pub fn new(command: Option<&CommandSettings>) -> Self {
        Self { command: command.cloned(), words: Words::default() }
    }

    /// Returns the digest of a job.
    pub fn of(&mut self, payload: &Payload) -> Digest {
        let payload = payload.as_bytes();
        let Some(command) = &self.command else { return Digest::of(payload) };
        // The numbers of the job and of the slot may differ from run to run.
        command.template.fill(Filling { payload, number: 0, slot: 0 }, &mut self.words);
        Digest::of_parts(self.words.iter().chain(command.stdin.then_some(payload)))
    }
}
