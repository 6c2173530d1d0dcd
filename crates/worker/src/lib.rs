//! What a worker program links, and what both sides of a pipe share.
//!
//! A worker is a program that does jobs which a supervisor sends it. This is a whole one:
//!
//! ```no_run
//! fn main() -> Result<(), worker::ServeError> {
//!     worker::serve(|job| {
//!         let text = job.text().map_err(|fault| fault.to_string())?;
//!         match text.parse::<u64>() {
//!             Ok(number) => Ok(format!("{}", number * 2)),
//!             Err(fault) => Err(format!("`{text}`: {fault}")),
//!         }
//!     })
//! }
//! ```
//!
//! `supervisor run -a JOBS PROGRAM` starts as many of it as there are cores, and sends each line
//! of the file `JOBS` to one of them. An `Err` and a panic are failures of that job; a crash
//! costs that job, and the worker is replaced. `print!` what you like: the protocol has pipes of
//! its own.
//!
//! Jobs and results in JSON, with types of your own:
//!
//! ```no_run
//! #[derive(serde::Deserialize)]
//! struct Order { width: u32, height: u32 }
//!
//! fn main() -> Result<(), worker::ServeError> {
//!     worker::serve_json(|order: Order| {
//!         order.width.checked_mul(order.height).ok_or("too large")
//!     })
//! }
//! ```
//!
//! A program that has another trade besides asks [`is_worker`] first.
//!
//! The loop is also to be had by its parts, and over any two pipes, as here:
//!
//! ```
//! use std::io::{Read, Write, pipe};
//! use worker::{Worker, frame, wire::{Codec, SupervisorHello, ToWorker}};
//!
//! let (jobs, mut to_worker) = pipe()?;
//! let (mut from_worker, replies) = pipe()?;
//! let hello = SupervisorHello {
//!     version: 1,
//!     codecs: vec!["bincode".into()],
//!     max_frame: 1 << 20,
//!     worker: "w1.1".into(),
//! };
//! to_worker.write_all(&hello.to_frame())?;
//! let job = ToWorker::Job { id: 1, attempt: 1, payload: b"abc".into() };
//! let mut bytes = Vec::new();
//! frame::append(&mut bytes, 1 << 20, |out| Codec::Bincode.write_to_worker(&job, out))?;
//! to_worker.write_all(&bytes)?;
//! drop(to_worker);
//!
//! let mut worker = Worker::over(jobs.into(), replies.into(), None)?;
//! while let Some(job) = worker.next_job()? {
//!     let result: Vec<u8> = job.bytes().iter().rev().copied().collect();
//!     worker.reply(Ok(&result))?;
//! }
//! drop(worker);
//!
//! let mut said = Vec::new();
//! from_worker.read_to_end(&mut said)?;
//! assert!(said.ends_with(b"cba"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Both sides share length-prefixed [`frame`]s, the [`codec`] inside them, what is said over the
//! [`wire`], the flight [`recorder`], and the textual [`quantity`] that every program of this
//! workspace reads alike.
//!
//! Small and blocking: no runtime, no command line.

mod connect;
mod intake;
mod panics;
pub mod quantity;
mod replies;
mod running;
mod serve;
mod sys;

pub use protocol::{
    codec, frame,
    wire::{self, CancelReason},
};

pub use connect::{ServeError, is_worker};
pub use running::{Heard, Stream};
pub use serve::{Job, Worker, serve, serve_json};
