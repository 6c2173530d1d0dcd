//! The configuration of a launcher, which it gets when it starts, before its first job.

use std::time::Duration;

use pool::{limits::Limits, signal::Signal};
use process::KillScope;
use protocol::codec::{self, CodecError};
use serde::{Deserialize, Serialize};

use crate::{
    settings::{Capture, CommandSettings},
    template::Template,
};

/// What all commands of one slot have in common.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    pub(super) template: Template,
    pub(super) limits: Limits,
    /// Time between the stop signal and SIGKILL.
    pub(super) grace: Duration,
    pub(super) stop_signal: Signal,
    pub(super) scope: KillScope,
    /// Whether commands read the payload of their job from stdin.
    pub(super) stdin: bool,
    pub(super) capture: Capture,
    pub(super) slot: u32,
    /// The number of slots.
    pub(super) workers: u32,
}

impl Config {
    /// Configures the launcher of this slot of a pool with `workers` slots.
    #[must_use]
    pub fn new(commands: &CommandSettings, limits: Limits, slot: u32, workers: u32) -> Self {
        let CommandSettings { template, grace, stop_signal, kill_scope: scope, stdin, capture } =
            commands.clone();
        Self { template, limits, grace, stop_signal, scope, stdin, capture, slot, workers }
    }

    /// Encodes the configuration.
    ///
    /// # Errors
    /// The template is longer than a frame may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>, CodecError> {
        let mut bytes = Vec::new();
        codec::encode(self, &mut bytes)?;
        Ok(bytes)
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        codec::decode(bytes)
    }
}
