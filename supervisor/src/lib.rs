//! Runs work in worker processes, so that one crash, leak or hang costs one job and nothing
//! else, and tells exactly which and why.
//!
//! Reading order: [`pool`] (the words and every decision), [`run`] (the loop), [`executor`] (what
//! is done about it), [`process`] (how).

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
