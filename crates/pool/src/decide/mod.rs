//! The decisions of a run: [`Pool::step`] takes what happened and when, and returns what to do.
//!
//! The pool knows slots, jobs, budgets, deadlines and the stages of a stop. It does not know
//! processes, pipes, clocks, randomness or threads: those are inputs and actions, so that any
//! schedule can be simulated (`sim/`) and any failure replayed from a seed.
//!
//! From the bottom up: `input`, `action` and `policy` define what goes in and out. `ledger` keeps
//! the jobs, and `history` their failed attempts. `session` keeps the jobs of one worker,
//! `stopping` the stages of its stop, and `worker` both. `slot` keeps at most two workers, and
//! `pool` keeps the slots.

mod action;
mod context;
mod control;
mod deadlines;
mod dispatch;
mod finish;
mod halt;
mod health;
mod history;
mod input;
mod ledger;
mod memory_watch;
mod news;
mod phase;
mod policy;
mod pool;
mod prefetch;
mod ready_set;
mod replacement;
mod restart;
mod roll;
mod rolling;
mod session;
mod shutdown;
#[cfg(test)]
mod sim;
mod slot;
mod slots;
mod stopping;
pub mod verdict;
mod worker;
mod worker_end;

pub use self::{
    action::{Action, Actions, Cancelled, Order, Running, Standing},
    input::{
        Abilities, Answer, Input, Jitter, Memory, MemorySample, News, Remains, Reply, Tick,
        Unsendable,
    },
    policy::Policy,
    pool::{Pool, RunEnd},
};
