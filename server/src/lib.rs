//! A server with one process per connection, as in PostgreSQL: whatever happens in one process, the
//! other connections and the server are not affected.
//!
//! Reading order: [`cli`] (arguments), `once` (a single connection), `serve` (the loop with a
//! process for each client), `backend` (the process of one client), `drain` (the shutdown).

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
mod stderr;

use pool::signal::Signal;

/// How the server ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// With this exit status.
    Status(u8),
    /// By this signal, which stopped it.
    By(Signal),
}
