//! What does a launcher need to know before its first job? It comes with its launch.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use worker::codec::{self, CodecError};

use crate::{
    settings::{Capture, CommandSettings as Commands},
    template::Template,
};
use pool::{limits::Limits, signal::Signal};
use process::program::Reach;

/// All that is the same for each command of a slot.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Orders {
    pub(super) template: Template,
    pub(super) limits: Limits,
    pub(super) grace: Duration,
    stop_signal: i32,
    pub(super) reach: Reach,
    pub(super) stdin: bool,
    pub(super) capture: Capture,
    pub(super) slot: u32,
    /// How many slots there are.
    pub(super) workers: u32,
}

impl Orders {
    /// For the launcher of this slot, of so many.
    #[must_use]
    pub fn new(commands: &Commands, limits: Limits, slot: u32, workers: u32) -> Self {
        let Commands { template, grace, stop_signal, reach, stdin, capture } = commands.clone();
        let stop_signal = stop_signal.number();
        Self { template, limits, grace, stop_signal, reach, stdin, capture, slot, workers }
    }

    /// As bytes.
    ///
    /// # Errors
    /// A template that no frame holds.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        codec::encode(self, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn read(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }

    /// How a command is asked to end.
    pub(super) fn stop_signal(&self) -> Signal {
        Signal::from_number(self.stop_signal).unwrap_or(Signal::TERM)
    }
}
