//! The library that a worker program links.
//!
//! A worker is a program that runs jobs for a supervisor. This is a complete one:
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
//! `supervisor run -a JOBS PROGRAM` starts one such worker per core, and sends each line of the
//! file `JOBS` to one of them. If the code returns an `Err` or panics, that job has failed. If it
//! crashes, that job is charged, and the supervisor replaces the worker. `print!` is safe to use:
//! the protocol has its own pipes.
//!
//! [`serve_json`] decodes jobs from JSON and encodes results as JSON:
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
//! A program that has other modes calls [`is_worker`] first.
//!
//! [`Worker`] is for programs with a loop of their own. It also works over any two pipes:
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
//! The modules [`wire`], [`codec`] and [`frame`] come from the crate `protocol`, which both ends of
//! a pipe share.
//!
//! The crate is small and blocking. It needs no async runtime.

mod connect;
mod job_reader;
mod panics;
mod reply_writer;
mod running;
mod serve;
mod sys;

pub use protocol::{
    codec, frame,
    wire::{self, CancelReason},
};

pub use connect::{ServeError, is_worker};
pub use running::{JobSignal, Stream};
pub use serve::{Job, Worker, serve, serve_json};
