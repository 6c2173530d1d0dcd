//! One process per connection, as PostgreSQL does it: whatever happens in one, the others and
//! the server do not notice.
//!
//! Reading order: [`cli`] (what was asked for), `once` (a single connection), `serve` (the loop
//! with a process for each client), `backend` (one client's process), `drain` (how it all ends).

mod admission;
mod backend;
mod captured;
pub mod cli;
mod connections;
mod drain;
mod fault;
mod listen;
mod log;
mod once;
mod program;
mod refuse;
mod serve;
mod settings;

use pool::signal::Signal;

/// How this process shall end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With this exit status.
    Status(u8),
    /// By the signal that stopped it.
    By(Signal),
}
