//! Runs work in worker processes, so that one crash, leak or hang costs one job and nothing
//! else, and reports exactly which job and why.
//!
//! Reading order: [`pool`] (the vocabulary and every decision), [`run`] (the loop), [`executor`]
//! (performs the decisions), [`process`] (starts, watches and ends processes).

pub mod conformance;
pub mod control;
mod deadline_timer;
pub mod dry_run;
pub mod endpoint;
pub mod executor;
pub mod launcher;
pub mod model;
pub mod observe;
pub mod observers;
mod progress;
mod readiness;
pub mod run;
pub mod settings;
pub mod sink;
pub mod source;
pub mod template;
#[cfg(feature = "web")]
pub mod web;
