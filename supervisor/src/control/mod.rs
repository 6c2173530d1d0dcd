//! Queries and commands for a live run, over a Unix socket in a private directory: one request per
//! connection, answered by one line of JSON or by a stream of lines.

pub mod client;
pub mod directory;
pub mod log;
mod serve;
pub mod wire;

pub use self::{directory::DirectoryError, serve::Server};
