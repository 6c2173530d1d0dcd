//! The worker protocol: everything that a supervisor and a worker must agree on.
//!
//! `PROTOCOL.md` describes the protocol for authors of workers in other languages. This crate
//! holds the same in types and code, so that both ends of a pipe use one definition:
//!
//! - [`wire`]: the messages;
//! - [`frame`]: the length prefix that separates messages in a stream of bytes;
//! - [`codec`]: the two encodings of a message, bincode and JSON;
//! - [`flaw`]: what is wrong with a message that cannot be decoded;
//! - [`recorder`]: the page of shared memory in which a worker notes the job it starts.
//!
//! The crate does no I/O apart from mapping the recorder's page, and needs no runtime. A program
//! that only does jobs links the crate `worker`, which re-exports what its author needs.

mod binary;
pub mod codec;
mod error;
pub mod flaw;
pub mod frame;
mod hello;
mod json;
mod number;
pub mod recorder;
mod sys;
pub mod wire;
