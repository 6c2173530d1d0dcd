//! Signals: those that this process receives, and those that it sends.

mod handlers;
mod requests;
mod send;

pub(crate) use self::{
    handlers::{accept_sigchld, note_resumed},
    requests::{forward_to_supervisor, ignore_forwarded, signal_pipe},
};
pub use self::{
    handlers::{die_by, suspend},
    requests::{BlockingRequests, Request, Requests},
    send::{KillScope, resume_child, signal_child, signal_group},
};
