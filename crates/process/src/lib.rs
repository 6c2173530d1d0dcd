//! Starts, watches, limits, examines and ends processes on Linux.
//!
//! The supervisor's executor, the launcher of commands and the connection server all use this
//! crate, so that each of these rules exists once:
//!
//! - A program starts from a fresh image that puts limits, descriptors and signals in order before
//!   its first instruction ([`spawn`]).
//! - A process is examined before it is reaped, and its number is used only while nobody can have
//!   reaped it ([`Process`], [`wait`]).
//! - The end of a process is the end of its descendants ([`tree`], [`warden`]).
//!
//! The crate makes no decisions: it hands out descriptors and plain values, in the vocabulary of
//! the crate `pool`, which also judges causes from the evidence collected here.

#![expect(unsafe_code, reason = "the system calls that no library wraps")]

mod child;
pub mod descriptors;
pub mod memory;
pub mod notify;
pub mod proc;
pub mod signals;
pub mod spawn;
pub mod stdout;
pub mod terminal;
pub mod tree;
pub mod wait;
pub mod warden;

pub use self::{
    child::{Process, ProcessHandle},
    signals::KillScope,
    spawn::Program,
};
