//! Tests of the worker library: its messages, its loop, and what it leaves behind when it dies.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod messages;
mod peer;
mod running;
mod serve;
mod worker_death;
