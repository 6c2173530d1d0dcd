//! Tests of the built programs, one module per theme.

#![allow(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

#[cfg(all(feature = "compare", feature = "journal", feature = "top", feature = "web"))]
mod golden;
#[path = "../support/mod.rs"]
mod support;
