//! Tests of `server_bin` from the view of clients, operators and shells. No process may be left.
#![expect(clippy::unwrap_used, reason = "a failed unwrap fails the test")]

mod clients;
mod drain;
mod once;
mod places;
mod refusal;
mod stage;
mod usage;
