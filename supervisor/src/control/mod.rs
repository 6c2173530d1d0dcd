//! How is a run asked and changed while it goes on? Through a Unix socket in a private directory:
//! one request a connection, one line of JSON each way, or a line for each thing that is told.

pub mod client;
pub mod logs;
pub mod place;
mod serve;
pub mod wire;

pub use self::{place::PlaceError, serve::Server};
