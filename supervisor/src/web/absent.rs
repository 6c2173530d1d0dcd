//! What stands for the web where it was left out of the build: a server that nobody can have.

use std::convert::Infallible;

use crate::{endpoint::Endpoint, onlook::Task};

/// No descriptors are held.
pub const FILES: u64 = 0;

/// Why a run cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("--serve {0}: this build has no web: build it with the feature `web`")]
pub struct ServeError(Endpoint);

/// There is none.
#[derive(Debug)]
pub struct Server(Infallible);

impl Server {
    /// # Errors
    /// Always.
    pub fn open(endpoint: &Endpoint) -> Result<Self, ServeError> {
        Err(ServeError(endpoint.clone()))
    }

    /// Nowhere.
    #[must_use]
    pub fn place(&self) -> String {
        match self.0 {}
    }

    /// Nothing.
    #[must_use]
    pub fn task(self) -> Task {
        match self.0 {}
    }
}
