//! Tests of the worker library: its loop, messages about a running job, and the death of a worker.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod peer;
mod running;
mod serve;
mod worker_death;
