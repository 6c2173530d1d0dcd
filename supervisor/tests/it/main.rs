//! Tests of the built programs, one module per theme.

#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod cli;
mod control;
mod each;
mod faults;
#[cfg(all(feature = "compare", feature = "journal", feature = "top", feature = "web"))]
mod golden;
mod jobs;
#[cfg(feature = "journal")]
mod journal;
mod lifecycle;
mod limits;
mod output;
mod support;
mod web;
