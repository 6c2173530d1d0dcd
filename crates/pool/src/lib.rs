//! Makes every decision of a run, and defines the types that the rest of the program shares.
//!
//! [`Pool::step`] takes what happened and when, and returns what to do about it. The crate does
//! no IO: processes, pipes, clocks and randomness are inputs and actions, so that the simulator
//! can play any schedule and replay any failure from a seed.
//!
//! Reading order: [`event`], [`exit`] and [`job`] (the vocabulary), [`rules`], then `decide`.

pub mod command;
mod decide;
pub mod errno;
pub mod event;
pub mod exit;
pub mod hang;
pub mod job;
pub mod limits;
mod payload;
pub mod rules;
pub mod signal;
mod worker_id;

pub use decide::{
    Abilities, Action, Actions, Answer, Cancelled, Input, Jitter, Memory, MemorySample, News,
    Order, Policy, Pool, Remains, Reply, RunEnd, Running, Standing, Tick, Unsendable, verdict,
};
