//! What do clients, operators and shells see of the real binary, and what does it leave behind?
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "clippy knows tests, not what they call"
)]

mod clients;
mod drain;
mod once;
mod refusal;
mod stage;
mod usage;
