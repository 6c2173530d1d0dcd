//! Every decision of a run, and the vocabulary in which it is made.
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
    Abilities, Action, Actions, Answer, Cancelled, Input, Jitter, Left, Memory, MemorySample, News,
    Order, Policy, Pool, Reply, RunEnd, Running, Standing, Tick, verdict,
};
