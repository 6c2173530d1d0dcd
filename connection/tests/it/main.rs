//! Tests of `connection_bin` in each of its roles, and of the library as a worker of a pool.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a failed unwrap fails the test")]

mod backend;
mod client;
mod fuzz;
mod pool;
mod support;
mod worker;
